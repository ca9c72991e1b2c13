"""Settings: what is set where, what wins, and what is refused."""

from pathlib import Path

import msgspec
import pytest

from rustqueue.model.jobs import NodeDefaults, Rate
from rustqueue.model.mistakes.wanted import wanted
from rustqueue.settings import Settings, SettingsError, load_settings, load_with_sources, setting_keys
from tests.unit.tcp_client import a_node, connected

# The original's whole file (contract A19), with every key at its default and two that a node would have set.
ORIGINAL_FILE = """
[server]
host = "0.0.0.0"
http_port = 6790
tcp_port = 6789
[storage]
backend = "hybrid"
path = "./data"
durability = "batched"
redb_durability = "immediate"
write_coalescing_enabled = true
write_coalescing_interval_ms = 10
write_coalescing_max_batch = 100
hybrid_snapshot_interval_ms = 1000
hybrid_max_dirty = 5000
[auth]
enabled = true
tokens = ["secret"]
[scheduler]
tick_interval_ms = 1000
stall_check_interval_ms = 5000
[jobs]
default_max_attempts = 5
default_backoff = "exponential"
default_backoff_delay_ms = 1000
default_timeout_ms = 300000
stall_timeout_ms = 30000
max_dag_depth = 10
[retention]
completed_ttl = "7d"
failed_ttl = "30d"
dlq_ttl = "90d"
[dashboard]
enabled = true
path_prefix = "/dashboard"
[logging]
level = "info"
format = "pretty"
[metrics]
prometheus_enabled = true
prometheus_path = "/api/v1/metrics/prometheus"
[tls]
enabled = false
cert_path = ""
key_path = ""
[webhooks]
enabled = false
delivery_timeout_ms = 5000
max_retries = 3
retry_base_delay_ms = 1000
[queues.mail]
rate_limit_per_second = 10.5
rate_limit_burst = 20
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "rustqueue.toml"


def load(config: Path | None = None, flags: dict[str, str] | None = None, **environment: str) -> Settings:
    return load_settings(None if config is None else str(config), environment, flags or {})


def test_without_any_source_the_defaults_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load()
    assert settings == Settings()
    assert settings.node_defaults() == NodeDefaults()


def test_a_file_in_the_working_folder_is_found(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[server]\nhttp_port = 1\n")
    monkeypatch.chdir(config.parent)
    assert load().server.http_port == 1


def test_later_sources_win(config: Path) -> None:
    config.write_text("[server]\nhttp_port = 1\ntcp_port = 2\nhost = '::'\n[jobs]\nmax_dag_depth = 3\n")
    settings = load(
        config,
        {"server.http_port": "30"},
        RUSTQUEUE_SERVER__HTTP_PORT="10",
        RUSTQUEUE_TCP_PORT="20",
        RUSTQUEUE_HTTP_PORT="11",
    )
    assert (settings.server.http_port, settings.server.tcp_port) == (30, 20)
    assert (settings.server.host, settings.jobs.max_dag_depth) == ("::", 3)


def test_the_originals_file_works_and_every_key_without_effect_is_named(config: Path) -> None:
    config.write_text(ORIGINAL_FILE)
    settings = load(config)
    assert (settings.storage.engine, settings.auth.tokens) == ("rocks", ["secret"])
    assert settings.node_defaults().max_attempts == 5
    named = sorted(note.split()[0].rstrip(":") for note in settings.notes)
    assert named == [
        "retention.failed_ttl",
        "scheduler.stall_check_interval_ms",
        "scheduler.tick_interval_ms",
        "storage.backend",
        "storage.durability",
        "storage.hybrid_max_dirty",
        "storage.hybrid_snapshot_interval_ms",
        "storage.redb_durability",
    ]


def test_what_apply_depends_on_reaches_the_machine(config: Path) -> None:
    config.write_text(
        "[jobs]\ndefault_backoff = 'linear'\ndefault_timeout_ms = 0\nstall_timeout_ms = 5000\n"
        "[retention]\ncompleted_ttl = '12h'\ndlq_ttl = 'never'\ncancelled_ttl = '90s'\n"
        "completed_count = 'unlimited'\ndlq_count = 7\ncancelled_count = 0\n[queues]\nauto_create = false\n"
    )
    assert load(config).node_defaults() == NodeDefaults(
        backoff="linear",
        timeout_ms=None,
        lease_ms=5_000,
        completed_age_ms=43_200_000,
        completed_count=None,
        dlq_age_ms=None,
        dlq_count=7,
        cancelled_age_ms=90_000,
        cancelled_count=0,
        auto_create=False,
    )


def test_texts_of_the_environment_take_the_type_of_their_key() -> None:
    settings = load(
        RUSTQUEUE_AUTH__ENABLED="true",
        RUSTQUEUE_AUTH__TOKENS="123, abc ,",
        RUSTQUEUE_RETENTION__DLQ_COUNT="5",
        RUSTQUEUE_SERVER__HOST="127.0.0.1",
        RUSTQUEUE_STORAGE__PATH="7",
    )
    assert (settings.auth.enabled, settings.auth.tokens) == (True, ["123", "abc"])
    assert (settings.retention.dlq_count, settings.server.host, settings.storage.path) == (5, "127.0.0.1", "7")
    assert load(RUSTQUEUE_AUTH__TOKENS='["a,b"]').auth.tokens == ["a,b"]
    assert load(RUSTQUEUE_WEBHOOKS__ALLOWED_PORTS="8080, 8443").webhooks.allowed_ports == [8080, 8443]


def test_variables_that_are_not_settings_are_left_alone() -> None:
    """Kubernetes sets the last ones in every pod beside Services called rustqueue and rustqueue-tcp."""
    settings = load(
        RUSTQUEUE_URL="http://x",
        RUSTQUEUE_TOKEN="t",
        RUSTQUEUE_SERVICE_PORT="6790",
        RUSTQUEUE_TCP_PORT="tcp://10.0.0.1:6789",
    )
    assert settings == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[sever]\n", "unknown section [sever]; did you mean 'server'?"),
        ("[server]\nhttp_prt = 1\n", "unknown key 'server.http_prt'; did you mean 'server.http_port'?"),
        ("[zzz]\n", "unknown section [zzz]"),
        ("server = 1\n", "[server] must be a section, not a value"),
        ("[server]\nhttp_port = 70000\n", "server.http_port = 70000 (from "),
        ("[server]\nhttp_port = '6790'\n", "must be a whole number from 0 to 65535"),
        (
            "[jobs]\ndefault_backoff = 'squared'\n",
            "must be one of 'decorrelated_jitter', 'exponential', 'fixed', 'linear'",
        ),
        (
            "[retention]\ncompleted_ttl = '7 days'\n",
            "must be a number with its unit (ms, s, m, h or d) as 7d, or 'never'",
        ),
        ("[retention]\ndlq_count = 'all'\n", "must be a whole number from 0 to 1000000000000 or 'unlimited'"),
        (
            "[webhooks]\nallowed_ports = [80, 0]\n",
            "must be a list, each a whole number from 1 to 65535: item 2 is wrong",
        ),
        ("[storage]\npath = ''\n", "must be a text that is not empty"),
        ("[auth]\nenabled = 'yes'\n", "must be true or false"),
        ("[tls]\nenabled = true\n", "it needs tls.cert_path and tls.key_path"),
        (
            "[server]\ntls_cert = 'c'\n",
            "it needs server.tls_key too",
        ),
        ("[server]\ntrusted_proxies = ['10.0.0.1/8']\n", "10.0.0.1/8 has host bits set"),
        ("[server]\ncors_origins = ['example.org']\n", "server.cors_origins = ['example.org']"),
        ("[webhooks]\nallowed_networks = ['10.0.0.0/33']\n", "webhooks.allowed_networks"),
        ("[raft]\nfsync = 'none'\n", "a power cut may then take jobs that were acknowledged"),
        ("[storage]\nbackend = 'sqlite'\n", "storage.backend = 'sqlite'"),
        (
            "[queues.mail]\nrate_limit_brst = 1\n",
            "unknown key 'queues.mail.rate_limit_brst'; did you mean 'rate_limit_burst'",
        ),
        ("[server\n", "cannot read the configuration file"),
    ],
)
def test_a_wrong_file_is_refused(config: Path, text: str, problem: str) -> None:
    config.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load(config)
    assert problem in str(refused.value)
    assert str(config) in str(refused.value)


def test_what_may_cost_jobs_needs_consent() -> None:
    # Given the value on a single node and on a member of a cluster
    single = {"raft.fsync": "none"}
    member = single | {
        "cluster.enabled": "true",
        "cluster.peers": "n0=127.0.0.1:6800,n1=127.0.0.1:6801,n2=127.0.0.1:6802",
        "cluster.insecure": "true",
    }
    for flags in (single, member):
        # Then neither takes it, and the refusal names the way out
        with pytest.raises(SettingsError) as refused:
            load_with_sources(None, {}, flags)
        assert str(refused.value) == (
            "raft.fsync = 'none' (from --raft-fsync): a power cut may then take jobs that were acknowledged; "
            "leave it at 'majority', or say --i-accept-data-loss"
        )
        # And with consent the log says what became of it
        settings = load_with_sources(None, {}, flags, data_loss_accepted=True).settings
        assert settings.notes == (
            "raft.fsync = 'none' (from --raft-fsync) has no effect: this version waits for the disk all the same",
        )
    assert load_with_sources(None, {}, {}, data_loss_accepted=True).settings.notes == ()


def test_a_wrong_value_is_told_in_one_sentence_with_its_limit_and_its_source(config: Path) -> None:
    config.write_text("[server]\nhttp_port = 70000\n")
    told = "must be a whole number from 0 to 65535"
    sources: tuple[tuple[str, Path | None, dict[str, str], dict[str, str]], ...] = (
        (str(config), config, {}, {}),
        ("RUSTQUEUE_SERVER__HTTP_PORT", None, {"RUSTQUEUE_SERVER__HTTP_PORT": "70000"}, {}),
        ("--server-http-port", None, {}, {"server.http_port": "70000"}),
    )
    for source, file, environment, flags in sources:
        with pytest.raises(SettingsError) as refused:
            load(file, flags, **environment)
        assert str(refused.value) == f"server.http_port = 70000 (from {source}) {told}"


def test_every_key_says_what_it_takes() -> None:
    """No key falls back on the words of the decoder, or on a pattern."""
    for key in setting_keys():
        section, _, name = key.partition(".")
        fields = {field.name: field.type for field in msgspec.structs.fields(type(getattr(Settings(), section)))}
        words = wanted(fields[name])
        assert words, key
        assert not set("^$`") & set(words), key


def test_a_named_file_must_exist(config: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load(config)


def test_wrong_variables_and_flags_are_refused_by_their_name() -> None:
    with pytest.raises(SettingsError, match=r"RUSTQUEUE_SERVER__HTTP_PRT: unknown key 'server.http_prt'"):
        load(RUSTQUEUE_SERVER__HTTP_PRT="1")
    with pytest.raises(SettingsError, match=r"limits.shutdown_s = 'soon' \(from --limits-shutdown-s\)"):
        load(flags={"limits.shutdown_s": "soon"})


def test_a_token_is_never_repeated_in_an_error() -> None:
    with pytest.raises(SettingsError) as refused:
        load(flags={"auth.tokens": '["hush", 5]'})
    assert "hush" not in str(refused.value)


def test_every_key_can_be_a_flag() -> None:
    keys = setting_keys()
    assert keys[:4] == ["server.host", "server.http_port", "server.tcp_port", "server.tls_cert"]
    flags = ["--" + key.replace(".", "-").replace("_", "-") for key in keys]
    assert len(set(flags)) == len(keys)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", (0, 100)),
        ("write_coalescing_enabled = true", (10, 100)),
        ("write_coalescing_interval_ms = 25", (25, 100)),
        ("write_coalescing_max_batch = 7", (10, 7)),
        ("write_coalescing_enabled = true\nwrite_coalescing_interval_ms = 0", (0, 100)),
        ("write_coalescing_enabled = false\nwrite_coalescing_interval_ms = 25", (0, 100)),
    ],
)
def test_a_group_commit_waits_only_where_that_was_asked_for(
    config: Path, lines: str, expected: tuple[int, int]
) -> None:
    config.write_text(f"[storage]\n{lines}\n")
    storage = load(config).storage
    assert (storage.group_wait_ms, storage.group_commands) == expected


@pytest.mark.parametrize(
    ("per_second", "burst", "rate"),
    [
        ("10.5", "20", Rate(20, 1905)),
        ("10.5", None, Rate(11, 1048)),
        ("1", None, Rate(1, 1000)),
        ("0.001", "1", Rate(1, 1_000_000)),
        ("0", None, None),
        ("-1", "5", None),
        ("nan", None, None),
        ("inf", None, None),
        ("5", "0", None),
        ("5", "1.5", None),
        ("'5'", None, None),
    ],
)
def test_the_originals_limit_of_pushes_is_a_rate(
    config: Path, per_second: str, burst: str | None, rate: Rate | None
) -> None:
    extra = "" if burst is None else f"rate_limit_burst = {burst}\n"
    config.write_text(f"[queues.mail]\nrate_limit_per_second = {per_second}\n{extra}")
    settings = load(config)
    assert settings.queue_rates == ({} if rate is None else {"mail": rate})
    assert len(settings.notes) == (rate is None)


async def test_the_configured_rate_holds_until_the_queue_has_one_of_its_own() -> None:
    async with a_node(queue_rates={"mail": Rate(2, 60_000)}) as node, connected(node) as client:
        jobs = [{"name": "n", "data": 1}] * 3
        assert (await client.ask("push_batch", queue="mail", jobs=jobs[:2]))["ok"] is True
        refused = await client.ask("push_batch", queue="mail", jobs=jobs[:1])
        assert refused["error"]["code"] == "RATE_LIMITED"
        await client.ask("queue_settings", queue="mail", limits={"rate": {"count": 5, "per_ms": 1}})
        assert (await client.ask("push_batch", queue="mail", jobs=jobs))["ok"] is True
