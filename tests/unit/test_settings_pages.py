"""Every setting is told of, and what is told is what is there."""

import re
import tomllib
from pathlib import Path

import pytest

from rustqueue.cli.program import run
from rustqueue.settings import Settings, load_settings, setting_keys
from rustqueue.settings.pages import environment_template, toml_template
from rustqueue.settings.told import KEYS, SECTIONS
from tests.settings_pages import files


def test_every_key_and_section_is_told_of() -> None:
    keys = setting_keys()
    assert list(KEYS) == keys
    assert list(SECTIONS) == list(dict.fromkeys(key.partition(".")[0] for key in keys))


def test_the_pages_are_up_to_date() -> None:
    stale = [path.name for path, text in files().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "python -m tests.settings_pages"


def uncommented(text: str) -> list[str]:
    """The lines of a template that set something, without their sign."""
    return [line.removeprefix("# ") for line in text.splitlines() if re.match(r"# [a-z_]+ = .|\[", line)]


def test_the_template_is_the_defaults(tmp_path: Path) -> None:
    # Given the template as it is, and with every line in force
    whole = tmp_path / "whole.toml"
    whole.write_text(toml_template())
    assert load_settings(str(whole), {}, {}) == Settings()
    lines = uncommented(toml_template().partition("# Pushes to one queue")[0])
    whole.write_text("\n".join(lines))
    settings = load_settings(str(whole), {}, {})
    # Then both are what a node has without any file
    assert {key for key in setting_keys() if _of(settings, key) != _of(Settings(), key)} == set()
    named = {f"{section}.{name}" for section, table in tomllib.loads("\n".join(lines)).items() for name in table}
    unset = {"storage.write_coalescing_enabled", "storage.write_coalescing_interval_ms", "compat.jobs_port"}
    assert named >= set(setting_keys()) - unset - {"storage.write_coalescing_max_batch"}


def test_the_environment_template_is_the_defaults() -> None:
    lines = [line.removeprefix("# ").split("=", 1) for line in environment_template().splitlines() if "__" in line]
    environment = {name: value for name, value in lines if value}
    settings = load_settings(None, environment, {})
    assert {key for key in setting_keys() if _of(settings, key) != _of(Settings(), key)} == set()


def _of(settings: Settings, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(settings, section), name)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "rustqueue.toml"


def test_show_tells_values_and_sources_and_no_secret(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("[auth]\nenabled = true\ntokens = ['hush', 'hush2']\n[queues.mail]\nrate_limit_per_second = 2\n")
    monkeypatch.setenv("RUSTQUEUE_SERVER__HOST", "::1")
    assert run(["config", "show", "--http-port", "1"]) == 0
    told = capsys.readouterr().out
    for line in (
        'host = "::1"  # RUSTQUEUE_SERVER__HOST',
        "http_port = 1  # --server-http-port",
        "tcp_port = 6789",
        "enabled = true  # rustqueue.toml",
        'tokens = ["...", "..."]  # rustqueue.toml',
        "[queues.mail]  # 2 pushes at once, then as many in 1000 ms",
    ):
        assert line in told.splitlines()
    assert "hush" not in told
    assert run(["config", "show", "--output", "json"]) == 0
    assert "hush" not in capsys.readouterr().out


def test_check_says_what_is_wrong(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("[scheduler]\ntick_interval_ms = 5\n")
    assert run(["config", "check"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("scheduler.tick_interval_ms (from rustqueue.toml) has no effect")
    assert told[1] == "sound: 1 settings given"
    config.write_text("[server]\nhttp_prt = 5\n")
    assert run(["config", "check"]) == 1
    assert "did you mean 'server.http_port'?" in capsys.readouterr().err


def test_template_prints_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert (run(["config", "template"]), capsys.readouterr().out) == (0, toml_template())
    assert (run(["config", "template", "--form", "env"]), capsys.readouterr().out) == (0, environment_template())
