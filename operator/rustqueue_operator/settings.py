"""How the operator is told what to do: flags, which the chart writes. Checked once, at start."""

from msgspec import Struct

from rustqueue_operator.kube.lease import LeaseTimes


class Settings(Struct, frozen=True, kw_only=True):
    """`namespaces` empty: all. Seconds and counts are bounded by the parser of the flags."""

    namespaces: tuple[str, ...] = ()
    default_cluster: str | None = None
    http_host: str = "0.0.0.0"
    http_port: int = 8080
    drift_s: float = 300.0
    secrets_s: float = 30.0
    """How often objects that refer to Secrets look at them: the operator may get Secrets, not list or watch them."""
    clusters_s: float = 10.0
    members_s: float = 5.0
    """Between two looks at the nodes of the clusters."""
    certificates_s: float = 60.0
    """Between two looks at the certificates of the nodes."""
    deletion_deadline_s: float = 600.0
    workers: int = 8
    protect_busy_workers: bool = False
    protect_s: float = 5.0
    lease_name: str = "rustqueue-operator"
    identity: str = "operator"
    times: LeaseTimes = LeaseTimes()
