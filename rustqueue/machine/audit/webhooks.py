"""Webhooks: does every delivery belong to one, and do their counters say what is there?"""

from collections import Counter

from rustqueue.machine import keys
from rustqueue.machine.audit.census import Census, walk
from rustqueue.machine.webhooks import rows
from rustqueue.model import limits

_COUNTED = {b"ho": "waiting", b"hg": "kept", b"hl": "tries", b"hc": "counters"}


def check_webhooks(census: Census) -> None:
    known = _definitions(census)
    counted: dict[str, Counter[bytes]] = {what: Counter() for what in _COUNTED.values()}
    for key, value in walk(census.view, b"h", b"i"):
        family, webhook_id = key[:2], key[2:18]
        if family in _COUNTED:
            counted[_COUNTED[family]][webhook_id] += 1
        elif family == b"hi" and known.get(webhook_id) != value.decode("ascii", "replace"):
            census.problem(f"id {webhook_id.hex()} names a webhook that is not there")
        elif family not in (b"hd", b"hi"):
            census.problem(f"row {key.hex()} is of no known kind")
    for owners in counted.values():
        for webhook_id in owners.keys() - known.keys():
            census.problem(f"deliveries of webhook {webhook_id.hex()} are there, but not the webhook")
    for webhook_id, name in known.items():
        for what, said in _said(census, webhook_id).items():
            found = counted[what][webhook_id]
            if found != said:
                census.problem(f"webhook '{name}' has {found} {what}, its counters say {said}")


def _definitions(census: Census) -> dict[bytes, str]:
    known: dict[bytes, str] = {}
    for key, value in walk(census.view, *keys.WEBHOOKS):
        row = rows.decode_webhook(value)
        known[row.id] = row.name
        if census.view.get(keys.webhook_name(row.id)) != key[2:] or row.name.encode() != key[2:]:
            census.problem(f"webhook '{row.name}' cannot be found by its id")
    return known


def _said(census: Census, webhook_id: bytes) -> dict[str, int]:
    stored = census.view.get(keys.webhook_counters(webhook_id))
    counters = rows.WebhookCounters() if stored is None else rows.decode_counters(stored)
    tries = min(counters.tries, limits.WEBHOOK_LOG_MAX)
    return {"waiting": counters.waiting, "kept": counters.kept, "tries": tries, "counters": 1}
