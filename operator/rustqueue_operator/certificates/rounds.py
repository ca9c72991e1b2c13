"""The rounds in which the certificate of each cluster's nodes is looked at: read, decide, sign, write. Decides nothing.

The write says which version of the Secret was read, so that of two operators one is refused. Nodes notice the new files
by themselves and use them for new links; the authority stays the same, so that old and new ones understand each other.
"""

import base64
import binascii
import logging
import time
from typing import Any, Final

from rustqueue_operator.certificates import making
from rustqueue_operator.certificates.planning import RENEW, RENEWED, end_s, problem, reason_to_renew
from rustqueue_operator.clusters import Clusters, Entry
from rustqueue_operator.kube.calls import MERGE, Calls, KubernetesError
from rustqueue_operator.kube.workloads import Workloads
from rustqueue_operator.metrics import Metrics
from rustqueue_operator.news import News

log: Final = logging.getLogger("rustqueue.operator")


class Rounds:
    """One for each operator."""

    def __init__(self, calls: Calls, clusters: Clusters, metrics: Metrics) -> None:
        self._calls = calls
        self._clusters = clusters
        self._workloads = Workloads(calls)
        self._metrics = metrics
        self._news = News(calls, metrics)
        self._told: dict[str, str] = {}

    async def go(self) -> None:
        """One round over all clusters whose ConfigMap names the Secrets."""
        for name, cluster in list(self._clusters.known.items()):
            if cluster.entry.peer_secret is None or cluster.entry.authority_secret is None:
                continue
            try:
                text = await self._look(name, cluster.entry)
            except (KubernetesError, making.NotUsable) as error:
                text = str(error)
            if text and self._told.get(name) != text:
                log.warning("certificates not looked after", extra={"cluster": name, "error": text})
            self._told[name] = text

    async def _look(self, name: str, entry: Entry) -> str:
        """What a person has to know."""
        namespace = name.partition("/")[0]
        now_s = int(time.time())
        secret = await self._calls.secret(namespace, entry.peer_secret or "")
        signer = await self._calls.secret(namespace, entry.authority_secret or "")
        if secret is None or signer is None:
            return f"there is no Secret {entry.peer_secret if secret is None else entry.authority_secret}"
        certificate, authority_key = _value(signer, "ca.crt"), _value(signer, "ca.key")
        authority = making.authority_of(certificate)
        annotations = secret["metadata"].get("annotations") or {}
        wish = annotations.get(RENEW)
        try:
            found = making.certificate_of(_value(secret, "tls.crt"), certificate)
        except making.NotUsable:
            found = None
        self._metrics.certificate(name, 0 if found is None else found.ends_s)
        trusts_all = (secret.get("data") or {}).get("ca.crt") == signer["data"]["ca.crt"]
        reason = reason_to_renew(found, authority, now_s, wish, annotations.get(RENEWED), trusts_all)
        if reason is not None:
            names = (
                found.names if found is not None and found.names else tuple(_value(signer, "names").decode().split())
            )
            made = making.signed(certificate, authority_key, names, now_s, end_s(authority, now_s))
            await self._write(namespace, secret, certificate, made, wish or "")
            self._metrics.certificate(name, end_s(authority, now_s))
            about = await self._workloads.stateful_set(namespace, entry.stateful_set or "")
            if about is not None:
                text = f"the nodes' certificate was made anew because {reason}"
                await self._news.tell(about, "Normal", "PeerCertificateRenewed", text)
        return problem(authority, now_s) or ""

    async def _write(
        self, namespace: str, secret: dict[str, Any], authority: bytes, made: making.Made, wish: str
    ) -> None:
        data = {"tls.crt": made.certificate, "tls.key": made.key, "ca.crt": authority}
        body = {
            "metadata": {"resourceVersion": secret["metadata"]["resourceVersion"], "annotations": {RENEWED: wish}},
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        path = f"/api/v1/namespaces/{namespace}/secrets/{secret['metadata']['name']}"
        await self._calls.call("PATCH", path, body, MERGE)


def _value(secret: dict[str, Any], key: str) -> bytes:
    """Raises `NotUsable`."""
    try:
        return base64.b64decode((secret.get("data") or {})[key], validate=True)
    except (KeyError, binascii.Error) as error:
        raise making.NotUsable(f"the Secret {secret['metadata']['name']} has no usable {key}") from error
