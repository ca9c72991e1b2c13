"""Webhooks from the command line, against a node."""

from pathlib import Path

from tests.unit.test_cli_commands import Shell, ports, queue, shell  # noqa: F401 - fixtures

URL = "https://hooks.example/in"


def test_the_commands_of_webhooks(shell: Shell, queue: str, tmp_path: Path) -> None:  # noqa: F811 - fixtures
    # Given a secret in a file, so that it stands on no command line
    more = tmp_path / "more.json"
    more.write_text('{"secret":"canary","suspended":true,"retry":{"max_retries":2}}')
    words = (queue, URL, "--event", "job.dlq", "--event", "job.completed", "--queue", "mail*", "--set", f"@{more}")
    # When a webhook is made, then it is shown without its secret
    made = shell.json("webhooks", "create", *words)
    assert isinstance(made, dict)
    shown = made["webhook"]
    assert (shown["events"], shown["queues"], shown["has_secret"]) == (["job.completed", "job.dlq"], ["mail*"], True)
    assert "canary" not in str(made)
    line = next(line for line in shell("webhooks", "list")[1].splitlines() if line.startswith(queue))
    assert line.split()[1:] == [URL, "job.completed,job.dlq", "mail*", "0", "0", "0", "paused"]
    assert f'"url": "{URL}"' in shell("webhooks", "get", queue)[1]

    code, delivery, hint = shell("webhooks", "test", queue)
    assert (code, hint) == (0, f"rustqueue webhooks deliveries {queue} shows what became of it\n")
    waiting = shell("webhooks", "deliveries", queue, "--show", "waiting")[1].splitlines()
    assert waiting[-1].split() == [delivery.strip(), "webhook.test", "-", "waiting", "0", "-", "-"]
    assert shell("webhooks", "deliveries", queue)[1] == "no deliveries\n"
    assert shell("webhooks", "resend", queue) == (0, "0 tried again, 0 left\n", "")
    assert shell("webhooks", "pause", queue) == (0, f"{queue} is paused: events are kept\n", "")
    assert shell("webhooks", "delete", queue) == (0, f"{queue} is deleted\n", "")
    assert shell("webhooks", "get", queue)[0] == 1


def test_wrong_words_about_webhooks(shell: Shell, queue: str) -> None:  # noqa: F811 - fixtures
    code, _, err = shell("webhooks", "create", queue, "http://10.0.0.1/")
    assert (code, err.startswith("rustqueue: VALIDATION_ERROR"), "not a public one" in err) == (1, True, True)
    assert shell("webhooks", "create", queue, URL, "--set", "[]") == (2, "", "rustqueue: --set must be a JSON object\n")
    assert shell("webhooks", "create", queue, URL, "--set", '{"colour":1}')[0] == 1
    assert shell("webhooks", "create", queue, URL, "--event", "job.lost")[0] == 2
