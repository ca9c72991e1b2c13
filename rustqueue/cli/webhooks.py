"""Commands about webhooks."""

import argparse
from typing import cast, get_args

import msgspec

from rustqueue.cli.output import Shown, as_json, table
from rustqueue.cli.parsing import UsageError, bounded, json_text
from rustqueue.cli.table import Commands
from rustqueue.client import Client
from rustqueue.client.calls.webhooks import Delivery, Webhook, WebhookOptions
from rustqueue.model import limits
from rustqueue.model.webhooks.values import EventName

EVENTS: tuple[EventName, ...] = get_args(EventName)


def add(commands: Commands) -> None:
    """Declare the commands of this module."""
    group = commands.group(
        "webhooks",
        "tell other programs of what happens to jobs",
        "rustqueue webhooks create audit https://hooks.example.com/in --event job.completed --event job.dlq",
        "rustqueue webhooks test audit",
        "rustqueue webhooks deliveries audit --show given_up",
    )
    group.add("list", list_webhooks, "show all webhooks", "rustqueue webhooks list --output json")
    one = {
        "get": (get, "show a webhook and what became of its deliveries"),
        "delete": (delete, "delete a webhook and what waits to be delivered"),
        "pause": (pause, "deliver nothing; events are kept"),
        "resume": (resume, "deliver again"),
        "test": (test, "deliver a test event to this webhook alone"),
    }
    for name, (run, summary) in one.items():
        group.add(name, run, summary, f"rustqueue webhooks {name} audit").add_argument("webhook", metavar="WEBHOOK")
    _declare_create(group)
    parser = group.add(
        "deliveries",
        deliveries,
        "show the last tries, or what waits or was given up",
        "rustqueue webhooks deliveries audit",
        "rustqueue webhooks deliveries audit --show given_up --limit 10",
    )
    parser.add_argument("webhook", metavar="WEBHOOK")
    parser.add_argument("--show", choices=["recent", "waiting", "given_up"], default="recent")
    parser.add_argument("--limit", type=bounded(1, limits.LIST_LIMIT_MAX), default=50, metavar="N")
    parser.add_argument("--cursor", help="where the page before ended")
    parser = group.add(
        "resend",
        resend,
        "try deliveries again that were given up",
        "rustqueue webhooks resend audit",
        "rustqueue webhooks resend audit --delivery 01a20290-5c1e-7000-9b0a-1f2e3d4c5b6a",
    )
    parser.add_argument("webhook", metavar="WEBHOOK")
    parser.add_argument("--delivery", metavar="ID", help="only this one")


def _declare_create(group: Commands) -> None:
    parser = group.add(
        "create",
        create,
        "make or replace a webhook",
        "rustqueue webhooks create audit https://hooks.example.com/in --event job.completed --queue 'mail*'",
        """rustqueue webhooks create audit https://hooks.example.com/in --set '{"secret":"whsec_..."}'""",
    )
    parser.add_argument("webhook", metavar="WEBHOOK")
    parser.add_argument("receiver", metavar="URL")
    parser.add_argument("--event", choices=EVENTS, action="append", help="may be given again; none: all events")
    parser.add_argument(
        "--queue", action="append", metavar="QUEUE", help="may end in '*' and be given again; none: all"
    )
    parser.add_argument(
        "--set",
        type=json_text,
        metavar="JSON",
        help="further fields (secret, previous_secret, headers, timeout_ms, retry, suspended): JSON, @FILE, or -",
    )


def create(arguments: argparse.Namespace, client: Client) -> Shown:
    options = msgspec.json.decode(arguments.set) if arguments.set is not None else {}
    if not isinstance(options, dict):
        raise UsageError("--set must be a JSON object")
    given = {"events": arguments.event, "queues": arguments.queue}
    options |= {key: value for key, value in given.items() if value is not None}
    return _one(client.put_webhook(arguments.webhook, arguments.receiver, **cast(WebhookOptions, options)))


def list_webhooks(arguments: argparse.Namespace, client: Client) -> Shown:
    found = client.list_webhooks()
    headings = ["Webhook", "URL", "Events", "Queues", "Waiting", "Delivered", "Given up", "State"]
    rows = [
        (
            hook.name,
            hook.url,
            ",".join(hook.events) or "all",
            ",".join(hook.queues) or "all",
            hook.deliveries.waiting,
            hook.deliveries.delivered,
            hook.deliveries.given_up,
            _state(hook),
        )
        for hook in found
    ]
    return Shown({"ok": True, "webhooks": found}, table(headings, rows) if rows else "no webhooks")


def _state(hook: Webhook) -> str:
    if hook.suspended:
        return "paused"
    return f"failing ({hook.deliveries.consecutive_failures})" if hook.deliveries.consecutive_failures else "active"


def get(arguments: argparse.Namespace, client: Client) -> Shown:
    return _one(client.get_webhook(arguments.webhook))


def pause(arguments: argparse.Namespace, client: Client) -> Shown:
    client.pause_webhook(arguments.webhook)
    return Shown({"ok": True}, f"{arguments.webhook} is paused: events are kept")


def resume(arguments: argparse.Namespace, client: Client) -> Shown:
    client.resume_webhook(arguments.webhook)
    return Shown({"ok": True}, f"{arguments.webhook} delivers again")


def delete(arguments: argparse.Namespace, client: Client) -> Shown:
    client.delete_webhook(arguments.webhook)
    return Shown({"ok": True}, f"{arguments.webhook} is deleted")


def test(arguments: argparse.Namespace, client: Client) -> Shown:
    delivery = client.test_webhook(arguments.webhook)
    hint = f"rustqueue webhooks deliveries {arguments.webhook} shows what became of it"
    return Shown({"ok": True, "delivery": delivery}, delivery, hint)


def deliveries(arguments: argparse.Namespace, client: Client) -> Shown:
    page = client.webhook_deliveries(
        arguments.webhook, show=arguments.show, limit=arguments.limit, cursor=arguments.cursor
    )
    note = f"more: --cursor {page.next_cursor}" if page.next_cursor else ""
    value = {"ok": True, "deliveries": page.deliveries, "next_cursor": page.next_cursor}
    return Shown(value, _deliveries_table(page.deliveries), note)


def _deliveries_table(found: list[Delivery]) -> str:
    headings = ["Delivery", "Event", "Job", "State", "Tries", "Status", "Error"]
    rows = [(d.id, d.event, d.job_id or "-", d.state, d.attempts, d.status or "-", d.error or "-") for d in found]
    return table(headings, rows) if rows else "no deliveries"


def resend(arguments: argparse.Namespace, client: Client) -> Shown:
    done = client.resend_webhook(arguments.webhook, delivery=arguments.delivery)
    return Shown({"ok": True, "moved": done.moved, "left": done.left}, f"{done.moved} tried again, {done.left} left")


def _one(hook: Webhook) -> Shown:
    return Shown({"ok": True, "webhook": hook}, as_json(hook))
