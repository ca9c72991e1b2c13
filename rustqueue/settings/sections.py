"""The sections of the configuration (contract A19, decisions A15, A33 and E), one frozen struct each, with defaults.

It must not know where a value came from. Every number has its bounds in its type, so that one conversion checks all.
"""

import math
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta, Struct, field

from rustqueue.model import limits
from rustqueue.model.jobs import BackoffName, NodeDefaults, Rate
from rustqueue.model.tokens import Scope, scope_of_text
from rustqueue.settings.cluster import ClusterSettings

Port = Annotated[int, Meta(ge=0, le=65_535)]
KeptCount = Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)] | Literal["unlimited"]
Origin = Annotated[
    str,
    Meta(pattern=r"^(https?://[^/\s]+|\*)$", max_length=300, description="an origin as https://example.org, or *"),
]
HostPattern = Annotated[
    str, Meta(pattern=r"^[^/\s]+$", max_length=300, description="a host name of at most 300 characters")
]
KindFile = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]+=.+$", max_length=4_096, description="KIND=FILE, the file a JSON Schema")
]
TtlText = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,12}(ms|s|m|h|d)|never)$",
        description="a number with its unit (ms, s, m, h or d) as 7d, or 'never'",
    ),
]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^/\s]+", description="an address as https://10.0.0.1:443")]
PagePath = Annotated[
    str,
    Meta(
        pattern=r"^/[A-Za-z0-9_-][A-Za-z0-9/_.-]*$",
        description="a path as /dashboard, of letters, digits, '/', '_', '.' and '-'",
    ),
]
RoutePath = Annotated[
    str,
    Meta(pattern=r"^/[A-Za-z0-9/_.-]+$", description="a path as /metrics, of letters, digits, '/', '_', '.' and '-'"),
]
Collector = Annotated[
    str,
    Meta(
        pattern=r"^(https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9/_.-]*)?)?$",
        description="an address as http://collector:4318, or nothing",
    ),
]

_COALESCING_MS: Final = 10
_COALESCING_COMMANDS: Final = 100
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class TlsFiles(NamedTuple):
    """A chain of certificates and its key, both in PEM."""

    cert: str
    key: str


class ServerSettings(Struct, frozen=True):
    """Port 0 lets the system choose; the ready line names the port.

    `tls_cert` and `tls_key` are files in PEM; with them both ports speak TLS. `cors_origins` are the web pages that a
    browser lets in (`*`: all), `allowed_hosts` the names that a request may give this server (empty: any), and
    `trusted_proxies` the networks whose `X-Forwarded-For` is believed.
    """

    host: str = "0.0.0.0"
    http_port: Port = 6790
    tcp_port: Port = 6789
    tls_cert: str = ""
    tls_key: str = ""
    cors_origins: Annotated[list[Origin], Meta(max_length=limits.ORIGINS_MAX)] = []
    allowed_hosts: Annotated[list[HostPattern], Meta(max_length=limits.ORIGINS_MAX)] = []
    trusted_proxies: Annotated[list[str], Meta(max_length=limits.ORIGINS_MAX)] = []


class StorageSettings(Struct, frozen=True):
    """`backend` also takes the original's names. The keys behind `path` are the original's: none of them weakens an
    acknowledgement (decisions A33). `write_coalescing_*` have no defaults of their own: a group commit waits for
    company only where somebody asks for it, and then with the original's numbers for what is not said.
    """

    backend: Literal["rocks", "memory", "redb", "hybrid", "in_memory"] = "rocks"
    path: Annotated[str, Meta(min_length=1)] = "./data"
    durability: Literal["batched", "immediate"] = "batched"
    redb_durability: Literal["none", "immediate", "eventual"] = "immediate"
    postgres_url: str = ""
    write_coalescing_enabled: bool | None = None
    write_coalescing_interval_ms: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    write_coalescing_max_batch: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    hybrid_snapshot_interval_ms: Annotated[int, Meta(ge=0)] = 1_000
    hybrid_max_dirty: Annotated[int, Meta(ge=0)] = 5_000

    @property
    def engine(self) -> Literal["rocks", "memory"]:
        """The engine that the name means."""
        return "memory" if self.backend in ("memory", "in_memory") else "rocks"

    @property
    def group_wait_ms(self) -> int:
        """How long a commit waits for more commands."""
        interval_ms = self.write_coalescing_interval_ms
        nothing_said = self.write_coalescing_enabled is None and interval_ms is None
        if self.write_coalescing_enabled is False or (nothing_said and self.write_coalescing_max_batch is None):
            return 0
        return _COALESCING_MS if interval_ms is None else interval_ms

    @property
    def group_commands(self) -> int:
        """With so many commands a commit waits no longer."""
        return self.write_coalescing_max_batch or _COALESCING_COMMANDS


class AuthSettings(Struct, frozen=True):
    """With `enabled` and no tokens nobody gets in, as in the original."""

    enabled: bool = False
    tokens: list[Annotated[str, Meta(min_length=1, max_length=4_096)]] = []


class KubernetesSettings(Struct, frozen=True):
    """`accounts` maps ServiceAccounts to scopes, `NAMESPACE/NAME=VERBS:QUEUES`, with `;` between several scopes and `*`
    for any characters: `jobs/producer=push:mail.*`. With none of them no token of a cluster is looked at.
    """

    accounts: Annotated[list[Annotated[str, Meta(max_length=4_096)]], Meta(max_length=limits.ACCOUNTS_MAX)] = []
    audience: Annotated[str, Meta(min_length=1, max_length=253)] = "rustqueue"
    api_server: HttpUrl = "https://kubernetes.default.svc"
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    cache_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 60_000

    def account_scopes(self) -> list[tuple[str, list[Scope]]]:
        """Accounts and what they may do. Raises `ValueError`."""
        found = []
        for text in self.accounts:
            account, equals, scopes = text.partition("=")
            if not equals or account.count("/") != 1:
                raise ValueError(f"{text!r} is not NAMESPACE/NAME=VERBS:QUEUES")
            found.append((account, [scope_of_text(scope) for scope in scopes.split(";")]))
        return found


class SchedulerSettings(Struct, frozen=True):
    tick_interval_ms: Annotated[int, Meta(ge=1)] = 1_000
    stall_check_interval_ms: Annotated[int, Meta(ge=1)] = 5_000


class JobsSettings(Struct, frozen=True):
    """What a push that says nothing gets. `default_timeout_ms = 0` is no timeout."""

    default_max_attempts: Annotated[int, Meta(ge=1, le=limits.ATTEMPTS_MAX)] = 3
    default_backoff: BackoffName = "exponential"
    default_backoff_delay_ms: Annotated[int, Meta(ge=0, le=limits.DURATION_MS_MAX)] = 1_000
    default_timeout_ms: Annotated[int, Meta(ge=0, le=limits.DURATION_MS_MAX)] = 300_000
    stall_timeout_ms: Annotated[int, Meta(ge=limits.LEASE_MS_MIN, le=limits.LEASE_MS_MAX)] = limits.LEASE_MS_DEFAULT
    max_dag_depth: Annotated[int, Meta(ge=1, le=limits.DAG_DEPTH_MAX)] = limits.DAG_DEPTH_DEFAULT


class RetentionTimes(Struct, frozen=True):
    """How long (`7d`, `12h`, `30m`, `45s`, `never`) and how many finished jobs are kept, a queue and outcome."""

    completed_ttl: TtlText = "7d"
    failed_ttl: TtlText = "30d"
    dlq_ttl: TtlText = "90d"
    cancelled_ttl: TtlText = "7d"
    completed_count: KeptCount = 1_000_000
    dlq_count: KeptCount = "unlimited"
    cancelled_count: KeptCount = 1_000_000


class DashboardSettings(Struct, frozen=True):
    enabled: bool = True
    path_prefix: PagePath = "/dashboard"


class LoggingSettings(Struct, frozen=True):
    level: Literal["trace", "debug", "info", "warn", "error"] = "info"
    format: Literal["pretty", "json"] = "pretty"


class MetricsSettings(Struct, frozen=True):
    prometheus_enabled: bool = True
    prometheus_path: RoutePath = "/api/v1/metrics/prometheus"


class TracingSettings(Struct, frozen=True):
    """`endpoint` is where a collector takes OTLP over HTTP, without a path; empty: no traces. A request that says by
    `traceparent` whether it is sampled is taken at its word, of others so many in a hundred are.
    """

    endpoint: Collector = ""
    sample_percent: Annotated[int, Meta(ge=0, le=100)] = 100
    service_name: Annotated[str, Meta(min_length=1, max_length=200)] = "rustqueue"
    send_every_ms: Annotated[int, Meta(ge=100, le=60_000)] = 5_000


class TlsSettings(Struct, frozen=True):
    """The original's section, which is about TCP alone: with it HTTP stays as `[server] tls_cert` says."""

    enabled: bool = False
    cert_path: str = ""
    key_path: str = ""


class WebhooksSettings(Struct, frozen=True):
    """Not `enabled`: all that is asked about webhooks is 503, and nothing is delivered. The first three numbers are for
    webhooks that say nothing else. `allowed_networks` are reached although they are not public, at any port but the
    node's own; elsewhere `allowed_ports` are. `ca_file` are the authorities that receivers' certificates may come from,
    the system's when it is empty.
    """

    enabled: bool = False
    delivery_timeout_ms: Annotated[int, Meta(ge=limits.WEBHOOK_TIMEOUT_MS_MIN, le=limits.WEBHOOK_TIMEOUT_MS_MAX)] = (
        5_000
    )
    max_retries: Annotated[int, Meta(ge=0, le=limits.WEBHOOK_RETRIES_MAX)] = 3
    retry_base_delay_ms: Annotated[int, Meta(ge=1, le=limits.WEBHOOK_DELAY_MS_MAX)] = 1_000
    allowed_networks: list[Annotated[str, Meta(min_length=1, max_length=64)]] = []
    allowed_ports: list[Annotated[int, Meta(ge=1, le=65_535)]] = field(default_factory=lambda: [80, 443, 8080, 8443])
    ca_file: str = ""


class QueuesSettings(Struct, frozen=True):
    """`auto_create = false`: a push to a queue that nobody declared is 404 `QUEUE_NOT_FOUND`."""

    auto_create: bool = True


class CompatSettings(Struct, frozen=True):
    """The second system's routes (docs/second-system.md). They stand on the HTTP port anyhow; with `jobs_port` also
    alone on one of their own, at `jobs_host` or where the others are. `kinds` are `KIND=FILE`, the file a JSON Schema.
    """

    jobs_port: Port | None = None
    jobs_host: str = ""
    kinds: Annotated[list[KindFile], Meta(max_length=limits.CONFIGURED_KINDS_MAX)] = []


class RaftSettings(Struct, frozen=True):
    fsync: Literal["majority", "none"] = "majority"


class SecuritySettings(Struct, frozen=True):
    """`key_file` holds the keys that seal secrets, the same on all nodes; empty: a file of its own beside the data."""

    key_file: str = ""


class LimitsSettings(Struct, frozen=True):
    """Deadlines and bounds of one node. What the protocols promise stands in `rustqueue.model.limits`."""

    command_deadline_ms: Annotated[int, Meta(ge=100, le=600_000)] = 10_000
    line_deadline_ms: Annotated[int, Meta(ge=100, le=600_000)] = 30_000
    shutdown_s: Annotated[int, Meta(ge=1, le=3_600)] = 30
    http_connections_max: Annotated[int, Meta(ge=1, le=1_000_000)] = limits.CONNECTIONS_MAX
    tcp_connections_max: Annotated[int, Meta(ge=1, le=1_000_000)] = limits.CONNECTIONS_MAX
    waiting_pulls_max: Annotated[int, Meta(ge=0, le=limits.WAITING_PULLS_MAX)] = limits.WAITING_PULLS_MAX


class Settings(Struct, frozen=True, kw_only=True):
    """All sections. `notes` says what was set and has no effect here, one sentence each, for the log at start."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    auth: AuthSettings = AuthSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    jobs: JobsSettings = JobsSettings()
    retention: RetentionTimes = RetentionTimes()
    dashboard: DashboardSettings = DashboardSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    tls: TlsSettings = TlsSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    queues: QueuesSettings = QueuesSettings()
    compat: CompatSettings = CompatSettings()
    cluster: ClusterSettings = ClusterSettings()
    raft: RaftSettings = RaftSettings()
    security: SecuritySettings = SecuritySettings()
    limits: LimitsSettings = LimitsSettings()
    notes: tuple[str, ...] = ()
    queue_rates: dict[str, Rate] = {}
    """Limits of pushes by queue (`[queues.NAME]`), for queues whose own settings have none."""

    @property
    def http_tls(self) -> TlsFiles | None:
        """The files with which HTTP speaks TLS, None if it does not."""
        server = self.server
        return TlsFiles(server.tls_cert, server.tls_key) if server.tls_cert else None

    @property
    def tcp_tls(self) -> TlsFiles | None:
        return TlsFiles(self.tls.cert_path, self.tls.key_path) if self.tls.enabled else self.http_tls

    def node_defaults(self) -> NodeDefaults:
        """The part that apply depends on; it goes to the machine as a command."""
        return NodeDefaults(
            max_attempts=self.jobs.default_max_attempts,
            backoff=self.jobs.default_backoff,
            backoff_delay_ms=self.jobs.default_backoff_delay_ms,
            timeout_ms=self.jobs.default_timeout_ms or None,
            lease_ms=self.jobs.stall_timeout_ms,
            dag_depth=self.jobs.max_dag_depth,
            completed_age_ms=ttl_ms(self.retention.completed_ttl),
            completed_count=_count(self.retention.completed_count),
            dlq_age_ms=ttl_ms(self.retention.dlq_ttl),
            dlq_count=_count(self.retention.dlq_count),
            cancelled_age_ms=ttl_ms(self.retention.cancelled_ttl),
            cancelled_count=_count(self.retention.cancelled_count),
            auto_create=self.queues.auto_create,
            webhook_max_retries=self.webhooks.max_retries,
            webhook_retry_base_ms=self.webhooks.retry_base_delay_ms,
        )


def rate_of(per_second: object, burst: object) -> Rate | None:
    """The original's limit as a number of jobs in a time: `burst` of them at once, then as many a second. None for what
    is no limit; a burst that is not given is the next whole number.
    """
    if not isinstance(per_second, int | float) or not math.isfinite(per_second) or per_second <= 0:
        return None
    count = math.ceil(per_second) if burst is None else burst
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= limits.RATE_COUNT_MAX:
        return None
    return Rate(count, min(max(1, round(count * 1_000 / per_second)), limits.RATE_PER_MS_MAX))


def ttl_ms(text: str) -> int | None:
    """Milliseconds of a checked `TtlText`; None for `never`. Ten years are the most that can be told from never."""
    if text == "never":
        return None
    digits = text.rstrip("dhms")
    return min(int(digits) * _UNIT_MS[text[len(digits) :]], limits.DURATION_MS_MAX)


def _count(kept: int | str) -> int | None:
    return kept if isinstance(kept, int) else None
