"""One certificate authority of a cluster: what each of its programs needs to be known by the others."""

import json
import subprocess
from pathlib import Path

DAYS = 30


class Authority:
    """Writes NAME.crt, NAME.key and, for those who call the API server, NAME.kubeconfig into one closed folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.root = folder / "ca.crt"
        self._sign("ca", "/CN=e2e-ca", ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"])

    def certificate(self, name: str, user: str, group: str = "", names: str = "") -> Path:
        """A pair for a server and a client; `names` is a subjectAltName as OpenSSL writes it."""
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        extensions = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth,serverAuth"]
        if names:
            extensions.append(f"subjectAltName={names}")
        return self._sign(name, subject, extensions)

    def kubeconfig(self, name: str, server: str, user: str, group: str = "") -> Path:
        """A client's certificate together with the file that its client library wants."""
        crt = self.certificate(name, user, group)
        return self._kubeconfig(
            name, server, {"client-certificate": str(crt), "client-key": str(crt.with_suffix(".key"))}
        )

    def kubeconfig_of_token(self, name: str, server: str, token: str) -> Path:
        return self._kubeconfig(name, server, {"token": token})

    def _kubeconfig(self, name: str, server: str, user: dict[str, str]) -> Path:
        file = self.folder / f"{name}.kubeconfig"
        cluster = {"server": server, "certificate-authority": str(self.root)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": "e2e", "user": user}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        }
        file.write_text(json.dumps(content, indent=1))  # JSON is YAML.
        file.chmod(0o600)
        return file

    def _sign(self, name: str, subject: str, extensions: list[str]) -> Path:
        key, crt = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        words += ["-days", str(DAYS), "-subj", subject, "-keyout", str(key), "-out", str(crt)]
        if name != "ca":
            words += ["-CA", str(self.root), "-CAkey", str(self.root.with_suffix(".key"))]
        for extension in extensions:
            words += ["-addext", extension]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"openssl: {done.stderr}"
        return crt
