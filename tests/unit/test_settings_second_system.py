"""The second system's environment: what its variables mean here, and what wins over them."""

from pathlib import Path

import pytest

from rustqueue.settings import CompatSettings, LoggingSettings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_its_variables_mean_keys_of_ours() -> None:
    settings = load_settings(
        None,
        {
            "DATABASE_URL": "postgres://jobs:secret@db/jobs",
            "API_BIND_ADDR": "127.0.0.1:8080",
            "RUST_LOG": "info,sqlx=warn",
            "RUST_LOG_FORMAT": "json",
        },
        {},
    )

    assert settings.compat == CompatSettings(jobs_port=8080, jobs_host="127.0.0.1")
    assert settings.logging == LoggingSettings(level="info", format="json")
    assert settings.notes == ("DATABASE_URL has no effect: jobs are kept in the node's own store, not in PostgreSQL",)


@pytest.mark.parametrize(
    ("address", "host", "port"), [("0.0.0.0:80", "0.0.0.0", 80), ("[::1]:8080", "::1", 8080), (":8080", "", 8080)]
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert load_settings(None, {"API_BIND_ADDR": address}, {}).compat == CompatSettings(port, host)


@pytest.mark.parametrize("address", ["8080x", "localhost", "host:99999", "host:"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"compat.jobs_port = .* \(from API_BIND_ADDR\)"):
        load_settings(None, {"API_BIND_ADDR": address}, {})


def test_our_own_variables_and_flags_win() -> None:
    environment = {"API_BIND_ADDR": "0.0.0.0:8080", "RUSTQUEUE_COMPAT__JOBS_PORT": "8081", "RUST_LOG": "debug"}

    settings = load_settings(None, environment, {"logging.level": "warn"})

    assert settings.compat == CompatSettings(jobs_port=8081, jobs_host="0.0.0.0")
    assert settings.logging.level == "warn"


@pytest.mark.parametrize("directives", ["", "off", "sqlx=warn", "my_crate=debug,hyper=trace"])
def test_a_filter_without_a_level_for_everything_changes_nothing(directives: str) -> None:
    settings = load_settings(None, {"RUST_LOG": directives, "RUST_LOG_FORMAT": "full", "DATABASE_URL": "sqlite:x"}, {})

    assert settings.logging == LoggingSettings()
    assert settings.notes == ()
