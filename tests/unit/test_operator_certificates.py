"""When the certificate of a cluster's nodes is made anew, and that the nodes take what was made."""

import base64
import contextlib
import itertools
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from rustqueue.raft.transport.credentials import Credentials, TlsFiles
from rustqueue.raft.transport.faults import Faults
from rustqueue_operator.certificates import making
from rustqueue_operator.certificates.planning import (
    LIFE_S,
    RENEW,
    RENEWED,
    Authority,
    Certificate,
    end_s,
    problem,
    reason_to_renew,
)
from rustqueue_operator.certificates.rounds import Rounds
from rustqueue_operator.clusters import Clusters
from rustqueue_operator.kube.access import Access
from rustqueue_operator.kube.calls import Calls, KubernetesError
from rustqueue_operator.metrics import Metrics
from tests.unit.certificates import Authority as Signer

DAY_S = 86_400
NOW_S = 1_800_000_000
TEN_YEARS = Authority(NOW_S + 3_650 * DAY_S)
NAMES = ("rq-0", "rq-1", "rq-2")


def certificate(**changed: Any) -> Certificate:
    given = {"begins_s": NOW_S - 10 * DAY_S, "ends_s": NOW_S + 355 * DAY_S, "names": NAMES, "trusted": True, **changed}
    return Certificate(**given)


@pytest.mark.parametrize(
    ("found", "wish", "granted", "reason"),
    [
        (certificate(), None, None, None),
        (certificate(ends_s=NOW_S + 100 * DAY_S, begins_s=NOW_S - 265 * DAY_S), None, None, "100 days are left"),
        (certificate(ends_s=NOW_S - DAY_S, begins_s=NOW_S - 366 * DAY_S), None, None, "0 days are left"),
        (certificate(ends_s=NOW_S + 130 * DAY_S, begins_s=NOW_S - 235 * DAY_S), None, None, None),
        (certificate(), "now", None, "somebody asked for it"),
        (certificate(), "now", "now", None),
        (certificate(), "again", "now", "somebody asked for it"),
        (certificate(trusted=False), None, None, "another authority signed it"),
        (None, None, None, "it cannot be read"),
    ],
)
def test_reasons(found: Certificate | None, wish: str | None, granted: str | None, reason: str | None) -> None:
    assert reason_to_renew(found, TEN_YEARS, NOW_S, wish, granted) == reason


def test_authorities_that_have_changed_are_a_reason() -> None:
    reason = reason_to_renew(certificate(), TEN_YEARS, NOW_S, None, None, trusts_all=False)
    assert reason == "other authorities are to be trusted"


def test_near_the_end_of_the_authority_nothing_is_made_over_and_over_and_somebody_is_told() -> None:
    short = Authority(NOW_S + 30 * DAY_S)
    made = certificate(begins_s=NOW_S, ends_s=end_s(short, NOW_S))

    for day in range(40):
        assert reason_to_renew(made, short, NOW_S + day * DAY_S, None, None) is None
    assert problem(short, NOW_S) == "the authority of the nodes' certificates ends in 30 days"
    assert problem(TEN_YEARS, NOW_S) is None


def test_what_was_made_just_now_lasts() -> None:
    made = certificate(begins_s=NOW_S, ends_s=end_s(TEN_YEARS, NOW_S))

    renewed_on = next(d for d in range(400) if reason_to_renew(made, TEN_YEARS, NOW_S + d * DAY_S, None, None))
    assert LIFE_S // DAY_S / 2 < renewed_on < LIFE_S // DAY_S - 100


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_told_without_its_text(text: bytes) -> None:
    with pytest.raises(making.NotUsable, match=r"ca\.crt is no certificate in PEM"):
        making.authority_of(text)


def contexts(folder: Path, made: making.Made, ca_file: str, node: str) -> object:
    """What a node makes of these files; raises what it would refuse them with."""
    (folder / "tls.crt").write_bytes(made.certificate)
    (folder / "tls.key").write_bytes(made.key)
    files = TlsFiles(str(folder / "tls.crt"), str(folder / "tls.key"), ca_file)
    return Credentials(files, node, time.monotonic, Faults(time.monotonic)).contexts()


def test_nodes_take_what_is_made(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    ca = Path(signer.ca_file).read_bytes()
    now_s = int(time.time())

    made = making.signed(ca, signer.key_pem, NAMES, now_s, now_s + DAY_S)

    assert contexts(tmp_path, made, signer.ca_file, "rq-2")
    assert making.certificate_of(made.certificate, ca) == Certificate(now_s - 300, now_s + DAY_S, NAMES, True)
    other = Path(Signer(tmp_path, "other").ca_file).read_bytes()
    assert making.certificate_of(made.certificate, other).trusted is False


def test_a_key_that_cannot_sign_is_told_without_its_text(tmp_path: Path) -> None:
    ca = Path(Signer(tmp_path).ca_file).read_bytes()

    with pytest.raises(making.NotUsable, match=r"ca\.key is no key in PEM"):
        making.signed(ca, b"secret text", NAMES, NOW_S, NOW_S + DAY_S)


class Kubernetes(Calls):
    """Secrets with versions, one StatefulSet, and events."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Access(server="http://none", namespace="queues"))
        self.signer = Signer(folder)
        self.ca = Path(self.signer.ca_file).read_bytes()
        now_s = int(time.time())
        made = making.signed(self.ca, self.signer.key_pem, NAMES, now_s, now_s + LIFE_S)
        self.secrets = {
            "rq-peers": kept("rq-peers", {"ca.crt": self.ca, "tls.crt": made.certificate, "tls.key": made.key}),
            "rq-peers-authority": kept("rq-peers-authority", {"ca.crt": self.ca, "ca.key": self.signer.key_pem}),
        }
        self.events: list[str] = []
        self.writes = 0

    def present(self) -> Certificate:
        return making.certificate_of(base64.b64decode(self.secrets["rq-peers"]["data"]["tls.crt"]), self.ca)

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        if method == "GET" and "configmaps" in path:
            told = {"statefulSet": "rq", "peerSecret": "rq-peers", "peerAuthoritySecret": "rq-peers-authority"}
            item = {"metadata": {"namespace": "queues", "name": "rq"}, "data": {"address": "http://none", **told}}
            return {"items": [item]}
        if method == "GET" and "statefulsets" in path:
            return {"metadata": {"name": "rq", "namespace": "queues", "uid": "u"}}
        if method == "GET":
            if name not in self.secrets:
                raise KubernetesError(404, "not found")
            return self.secrets[name]
        assert body is not None
        if method == "POST":
            self.events.append(body["reason"])
            return body
        before = self.secrets[name]
        if body["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise KubernetesError(409, "changed")
        self.writes += 1
        annotations = {**before["metadata"]["annotations"], **body["metadata"]["annotations"]}
        metadata = {**before["metadata"], "annotations": annotations, "resourceVersion": str(self.writes)}
        self.secrets[name] = {"metadata": metadata, "data": body["data"]}
        return self.secrets[name]


def kept(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "resourceVersion": "0", "annotations": {}}
    return {"metadata": metadata, "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


async def rounds_over(kubernetes: Kubernetes) -> Rounds:
    clusters = Clusters(kubernetes, ("queues",), None, lambda _: None)
    await clusters.refresh()
    return Rounds(kubernetes, clusters, Metrics())


async def test_a_certificate_is_made_anew_when_somebody_asks_once_for_each_wish(tmp_path: Path) -> None:
    kubernetes = Kubernetes(tmp_path)
    rounds = await rounds_over(kubernetes)
    before = kubernetes.secrets["rq-peers"]["data"]["tls.crt"]
    await rounds.go()
    assert kubernetes.writes == 0

    kubernetes.secrets["rq-peers"]["metadata"]["annotations"][RENEW] = "first"
    for _ in range(3):
        await rounds.go()

    assert (kubernetes.writes, kubernetes.events) == (1, ["PeerCertificateRenewed"])
    assert kubernetes.secrets["rq-peers"]["metadata"]["annotations"][RENEWED] == "first"
    assert kubernetes.secrets["rq-peers"]["data"]["tls.crt"] != before
    assert (kubernetes.present().trusted, kubernetes.present().names) == (True, NAMES)


async def test_one_that_ends_soon_is_made_anew_before(tmp_path: Path) -> None:
    kubernetes = Kubernetes(tmp_path)
    now_s = int(time.time())
    old = making.signed(kubernetes.ca, kubernetes.signer.key_pem, NAMES, now_s - LIFE_S, now_s + 5 * DAY_S)
    kubernetes.secrets["rq-peers"]["data"]["tls.crt"] = base64.b64encode(old.certificate).decode()

    await (await rounds_over(kubernetes)).go()

    assert kubernetes.present().ends_s > now_s + 300 * DAY_S


async def test_without_the_authority_nothing_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kubernetes = Kubernetes(tmp_path)
    del kubernetes.secrets["rq-peers-authority"]
    rounds = await rounds_over(kubernetes)

    await rounds.go()
    await rounds.go()

    assert kubernetes.writes == 0
    assert [record.getMessage() for record in caplog.records] == ["certificates not looked after"]


class Node:
    """What a node makes of the Secret that it was brought, with its own rules for connections."""

    def __init__(self, folder: Path, name: str, secret: dict[str, Any]) -> None:
        paths = {key: folder / f"{name}-{key}" for key in ("tls.crt", "tls.key", "ca.crt")}
        for key, path in paths.items():
            path.write_bytes(base64.b64decode(secret["data"][key]))
        files = TlsFiles(*(str(path) for path in paths.values()))
        self.contexts = Credentials(files, "rq-1", time.monotonic, Faults(time.monotonic)).contexts()

    def talks_to(self, other: "Node") -> bool:
        """Whether a connection to it comes about; both show a certificate."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.contexts.dialling.wrap_bio(to_client, to_server, server_side=False)
        server = other.contexts.accepting.wrap_bio(to_server, to_client, server_side=True)
        waiting = [client, server]
        try:
            while waiting:
                for side in list(waiting):
                    with contextlib.suppress(ssl.SSLWantReadError):
                        side.do_handshake()
                        waiting.remove(side)
        except ssl.SSLError:
            return False
        return True


def another_authority(folder: Path) -> tuple[bytes, bytes]:
    """Its certificate and key. It says the same name of itself as the first one, like two that the chart made."""
    (folder / "another").mkdir()
    signer = Signer(folder / "another")
    return Path(signer.ca_file).read_bytes(), signer.key_pem


async def test_the_authority_is_exchanged_in_three_steps_and_nodes_one_step_apart_talk(tmp_path: Path) -> None:
    """Those of docs/kubernetes/operate.md. Secrets reach nodes one after the other."""
    kubernetes = Kubernetes(tmp_path)
    rounds = await rounds_over(kubernetes)
    old, old_key = kubernetes.ca, kubernetes.signer.key_pem
    new, new_key = another_authority(tmp_path)
    nodes = [Node(tmp_path, "begin", kubernetes.secrets["rq-peers"])]

    for step, (authorities, key) in enumerate([(old + new, old_key), (new + old, new_key), (new, new_key)], 1):
        kubernetes.secrets["rq-peers-authority"] = kept("rq-peers-authority", {"ca.crt": authorities, "ca.key": key})
        for _ in range(3):
            await rounds.go()
        assert kubernetes.writes == step
        nodes.append(Node(tmp_path, f"step-{step}", kubernetes.secrets["rq-peers"]))

    for earlier, later in itertools.pairwise(nodes):
        assert (earlier.talks_to(later), later.talks_to(earlier)) == (True, True)
    assert not nodes[0].talks_to(nodes[-1])
    assert not nodes[-1].talks_to(nodes[0])
