"""Random logs: numbers that hypothesis draws become commands about jobs that are really there.

A step is (verb, one number, another). The numbers pick a queue, a job, options. What they mean does not depend on the
machine's inside, only on the ids its answers gave, so a failing log shrinks to a short one.
"""

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from rustqueue.model.cluster.features import FIRST_LEVEL
from rustqueue.model.commands import (
    Command,
    Configure,
    FeatureLevel,
    JobCreate,
    MemberRecord,
    Members,
    Tick,
    TokenPut,
    Trim,
)
from rustqueue.model.ids import parse_id
from rustqueue.model.jobs import NodeDefaults
from rustqueue.model.schedules import Firing, ScheduleFire
from rustqueue.model.tokens import Scope
from rustqueue.model.webhooks.commands import Outcome, WebhookOutcomes, WebhookStore
from rustqueue.model.webhooks.values import EventName, RetryRules
from tests.unit.factories import START_MS, Json, at

QUEUES = ("a", "b", "c")
_DATA: tuple[Any, ...] = ({}, [1, "x" * 90], None, "y" * 300)
_PAUSES_MS = (0, 1, 50, 500, 1_000, 5_000, 30_000, 31_000, 700_000)
_OPTIONS: tuple[Json, ...] = (
    {},
    {},
    {"priority": 1},
    {"priority": -1, "max_attempts": 1},
    {"lifo": True},
    {"lifo": True, "priority": 1, "backoff_delay_ms": 0},
    {"delay_ms": 500},
    {"delay_ms": 1, "ttl_ms": 50},
    {"ttl_ms": 500, "max_attempts": 2},
    {"backoff": "fixed", "backoff_delay_ms": 0, "timeout_ms": 200},
    {"backoff": "decorrelated_jitter", "backoff_delay_ms": 10, "lease_ms": 100},
    {"unique_key": "u"},
    {"unique_key": "v", "max_attempts": 1, "remove_on_fail": True},
    {"custom_id": "c", "remove_on_complete": True},
    {"custom_id": "d", "flow_id": "f"},
    {"group_id": "g"},
    {"group_id": "h"},
    {"group_id": "g", "priority": 1, "delay_ms": 1},
    {"group_id": "i", "lifo": True, "max_attempts": 2, "backoff_delay_ms": 0},
    {"group_id": "h", "ttl_ms": 500, "custom_id": "d"},
    {"flow_id": "f", "tags": ["t"], "run_at": at(40_000)},
    {"metadata": {"follow_ups": [{"queue": "b", "name": "next"}, {"queue": "c", "name": "bad name"}]}},
    {
        "metadata": {"follow_ups": [{"queue": "a", "name": "n", "options": {"unique_key": "u"}}]},
        "remove_on_complete": True,
    },
)
_POLICIES = ("cascade", "ignore", "continue")
_SETTINGS: tuple[Json, ...] = (
    {},
    {"mode": "hold"},
    {"mode": "normal", "lease_ms": 200},
    {"limits": {"max_waiting": 6}},
    {"limits": {"concurrency": 3}, "payload_schema": {"type": "object"}},
    {"limits": {"group_concurrency": 1}},
    {"limits": {"group_concurrency": 2, "concurrency": 4}},
    {"retention": {"completed": {"count": 1}, "dlq": {"count": 0}, "cancelled": {"age_ms": 1_000}}},
    {"retention": {"completed": {"age_ms": 500}, "dlq": {"age_ms": 500, "count": 1}}},
    {"defaults": {"delay_ms": 50, "priority": 1}},
    {"labels": {"b": "1", "a": "2"}, "owner": {"uid": "u1", "ref": "r"}},
    {"owner": None, "if_owner": "u1"},
    {"labels": {}, "if_match": 1},
    {"defaults": {"lifo": True, "tags": ["d"], "max_attempts": 1}},
)
HOOKS = ("h", "i")
_EVENTS: tuple[list[EventName], ...] = (
    [],
    ["job.pushed"],
    ["job.failed", "job.dlq"],
    ["job.completed", "queue.paused"],
)
_FILTERS: tuple[list[str], ...] = ([], ["a"], ["b", "c*"])
VERBS = (
    *("push", "push_batch", "push_child", "push_family", "pull", "pull_many", "wait", "wait", "pull_queues"),
    *("ack", "ack_batch", "fail", "fail_batch", "heartbeat", "progress", "cancel", "job_retry", "job_promote"),
    *("job_priority", "job_remove", "queue_pause", "queue_resume", "queue_settings", "queue_delete", "queue_drain"),
    *("queue_clean", "dlq_retry", "dlq_purge", "sweep_cancel", "configure", "trim", "repeat"),
    *("token_put", "token_delete", "members", "feature_level", "worker_drain", "tx", "tx"),
    *("webhook_store", "webhook_outcomes", "webhook_delete", "webhook_pause", "webhook_resume", "webhook_test"),
    "webhook_resend",
    "job_create",
)

_INNER = (("ack", "push"), ("push", "push_child", "ack"), ("fail", "push_batch", "cancel"), ("ack", "ack", "fail"))
INTERNAL = frozenset(
    {"wait", "configure", "trim", "token_put", "members", "feature_level", "schedule_fire"}
    | {"webhook_store", "webhook_outcomes", "job_create"}
)
"""Verbs that only a node proposes."""

SCHEDULE_VERBS = (
    *("schedule_create", "schedule_put", "schedule_delete", "schedule_pause", "schedule_resume", "schedule_run"),
    "schedule_fire",
)
_TIMINGS: tuple[Json, ...] = (
    {"every_ms": 500},
    {"cron_expr": "0 3 * * *", "timezone": "Europe/Paris"},
    {"every_ms": 700, "overlap": "skip", "missed": "all", "max_executions": 2},
    {"every_ms": 900, "job_options": {"unique_key": "u"}, "starts_at": at(30_000), "ends_at": at(600_000)},
    {"cron_expr": "* * * * * *", "paused": True, "labels": {"a": "b"}, "owner": {"uid": "o"}},
)

NODE = NodeDefaults(max_attempts=2, backoff_delay_ms=100, lease_ms=1_000, completed_age_ms=60_000, dlq_count=20)

Step = tuple[str, int, int]
steps = st.tuples(st.sampled_from(VERBS), st.integers(0, 999), st.integers(0, 999))
entries = st.lists(st.lists(steps, min_size=1, max_size=3), min_size=15, max_size=60)


class Script:
    """Turns steps into commands, and remembers the ids and tokens that answers showed."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.tokens: dict[str, str] = {}
        self.sweeps: list[str] = []
        self.keyed: list[Json] = []
        self.turns: dict[str, int] = {}
        """Turns of the schedules, told by the one who applies."""
        self.hooks: dict[str, str] = {}
        self.deliveries: list[tuple[str, str]] = []

    def command(self, step: Step) -> Json | Command | JobCreate:
        """What the step asks: a client's command, or one of the node's own."""
        if step[0] == "wait":
            return Tick()
        if step[0] == "job_create":
            return self._creation(step[1], step[2])
        if step[0] == "configure":
            return Configure(defaults=msgspec.structs.replace(NODE, completed_count=step[1] % 3))
        if step[0] == "members":
            voters = [
                MemberRecord(f"n{number}-1", f"10.0.0.{number}:6800", number < 3) for number in range(step[1] % 4)
            ]
            return Members(members=voters)
        if step[0] == "token_put":
            scopes = [Scope(["push"], ["a*"])]
            lasts_ms = 500 if step[2] % 3 == 0 else None
            return TokenPut(
                id=f"t{step[1] % 4}", name=f"n{step[2] % 4}", scopes=scopes, digest="00" * 32, expires_in_ms=lasts_ms
            )
        if step[0] == "feature_level":
            return FeatureLevel(level=FIRST_LEVEL, version="0.1.0")
        if step[0] == "schedule_fire":
            return self._firing(step[1], step[2])
        if step[0] == "webhook_store":
            return self._webhook(step[1], step[2])
        if step[0] == "webhook_outcomes":
            return self._outcomes(step[1], step[2])
        return Trim() if step[0] == "trim" else self.asked(step)

    def _firing(self, one: int, two: int) -> Command:
        """What a leader proposes that read the schedules some entries ago, or just now."""
        firings = []
        for place, name in enumerate(self.turns):
            tick = START_MS + 1_000 * one + place
            missed = two % 3
            refused = "RATE_LIMITED: no" if two % 5 == 0 else None
            turn = self.turns[name] - (two % 7 == 0)
            firings.append(Firing(name, turn, [tick] * (two % 4 > 0), tick, missed, tick if missed else 0, refused))
        return ScheduleFire(firings=firings)

    def _creation(self, one: int, two: int) -> JobCreate:
        """A job of the second system, now and then under a key that was used before."""
        key = f"c{two % 5}" if one % 2 else None
        payload = Raw(msgspec.json.encode(_DATA[one % len(_DATA)]))
        attempts = (None, 1, 2)[two % 3]
        return JobCreate(kind=QUEUES[one % 3], payload=payload, max_attempts=attempts, key=key, scope="t" * (two % 2))

    def _webhook(self, one: int, two: int) -> Command:
        """A definition as the gateway prepares it."""
        return WebhookStore(
            name=HOOKS[one % 2],
            url=f"https://hooks.example/{two % 3}",
            is_new=two % 7 == 0,
            events=_EVENTS[two % len(_EVENTS)],
            queues=_FILTERS[one % len(_FILTERS)],
            secret=b"sealed" if two % 2 else UNSET,
            suspended=(None, True, False)[two % 3],
            retry=RetryRules(max_retries=one % 3, max_age_ms=(None, 1_000)[two % 2]),
        )

    def _outcomes(self, one: int, two: int) -> Command:
        """What became of some of the test deliveries, some of it said twice or too late."""
        outcomes = []
        for place, (name, delivery) in enumerate(self.deliveries[-1 - two % 5 :]):
            error = "no" if (one + place) % 3 else None
            webhook = parse_id(self.hooks.get(name, "")) or b"?" * 16
            outcomes.append(Outcome(webhook, parse_id(delivery) or b"", (one + place) % 4 // 2, 500, error, place))
        return WebhookOutcomes(outcomes=outcomes)

    def asked(self, step: Step) -> Json:
        """The command of a client."""
        verb, one, two = step
        queue = QUEUES[one % 3]
        if verb == "tx":
            inner = [(kind, one + place, two + place) for place, kind in enumerate(_INNER[two % len(_INNER)])]
            keyless = [{**made, "idempotency_key": None} for made in map(self.asked, inner)]
            return {"cmd": "tx", "operations": keyless}
        if verb == "repeat":
            return self.keyed[one % len(self.keyed)] if self.keyed else {"cmd": "pull", "queue": queue}
        made = self._push(verb, one, two) or self._pull(verb, one, two) or self._word(verb, one, two)
        made = (
            made
            or self._schedule_verb(verb, queue, two)
            or self._queue_verb(verb, queue, two)
            or {"cmd": verb, "id": self._job(one)}
        )
        if verb == "cancel":
            made["running"] = two % 2 == 1
        if verb == "job_priority":
            made["priority"] = two % 5 - 2
        if two % 7 == 3:
            made["idempotency_key"] = f"k{two % 4}-{len(self.keyed)}"
            self.keyed.append(made)
        return made

    def learn(self, reply: Json) -> None:
        """Take ids, tokens and sweeps from an answer."""
        if not reply["ok"] and "results" not in reply:
            return
        if "created" in reply and "job" in reply:
            self.ids.append(reply["job"]["id"])
            return
        made = [reply["id"]] if "id" in reply else reply.get("ids", [])
        self.ids += [text for text in made if len(text) > 2]  # Ids of bearer tokens are shorter than those of jobs.
        jobs = reply.get("jobs") or ([reply["job"]] if reply.get("job") else [])
        self.tokens.update((job["id"], job["attempt_token"]) for job in jobs)
        if "webhook" in reply:
            self.hooks[reply["webhook"]["name"]] = reply["webhook"]["id"]
        if "delivery" in reply:
            self.deliveries += [(name, reply["delivery"]) for name in HOOKS]
        if reply.get("sweep"):
            self.sweeps.append(reply["sweep"])

    def pause_ms(self, step: Step) -> int:
        return _PAUSES_MS[step[1] % len(_PAUSES_MS)] if step[0] == "wait" else 0

    def _job(self, number: int) -> str:
        if not self.ids:
            return "custom:a:c"
        if number % 17 == 0:
            return f"custom:{QUEUES[number % 3]}:{'cd'[number % 2]}"
        return self.ids[-1 - number % min(len(self.ids), 12)]

    def _token(self, job_id: str, number: int) -> Json:
        if number % 3 == 0 or job_id not in self.tokens:
            return {}
        return {"attempt_token": self.tokens[job_id] if number % 3 == 1 or number % 5 else "wrong"}

    def _push(self, verb: str, one: int, two: int) -> Json | None:
        queue, options, data = QUEUES[one % 3], _OPTIONS[two % len(_OPTIONS)], _DATA[one % len(_DATA)]
        job = {"name": "n", "data": data, **options}
        if verb == "push":
            return {"cmd": "push", "queue": queue, **job}
        if verb == "push_child":
            parents: list[Any] = [self._job(one), self._job(one + two)][: 1 + two % 2]
            return {
                "cmd": "push",
                "queue": queue,
                **job,
                "depends_on": parents,
                "on_parent_failure": _POLICIES[two % 3],
            }
        if verb == "push_batch":
            plain = [{"name": "n", "data": _DATA[place % 4]} for place in range((1, 3, 70)[two % 3])]
            return {"cmd": "push_batch", "queue": queue, "jobs": [*plain, *([job] if one % 2 else [])]}
        if verb == "push_family":
            child = {"name": "child", "on_parent_failure": _POLICIES[one % 3], "depends_on": [2, 0]}
            last = {"name": "last", "depends_on": [1, self._job(two)] if two % 2 else [1]}
            return {"cmd": "push_batch", "queue": queue, "jobs": [job, child, {"name": "n"}, last]}
        return None

    def _pull(self, verb: str, one: int, two: int) -> Json | None:
        lease: Json = {"lease_ms": 100} if two % 5 == 1 else {}
        fields: Json = {"worker_id": f"w{two % 2}", "with_parent_results": two % 2 == 0, **lease}
        if verb == "pull":
            return {"cmd": "pull", "queue": QUEUES[one % 3], **fields}
        if verb == "pull_many":
            return {"cmd": "pull", "queue": QUEUES[one % 3], "count": (0, 2, 5, 66, 100)[two % 5], **fields}
        if verb == "pull_queues":
            weighted = [{"queue": queue, "weight": 1 + (one >> place) % 4} for place, queue in enumerate(QUEUES)]
            return {"cmd": "pull", "queues": weighted[: 1 + two % 3], "count": 1 + two % 9, **fields}
        return None

    def _word(self, verb: str, one: int, two: int) -> Json | None:
        job_id = self._job(one)
        item: Json = {"id": job_id, **self._token(job_id, two)}
        if verb == "ack":
            return {"cmd": "ack", **item, "result": two, "cancelled": two % 11 == 0}
        if verb == "fail":
            return {"cmd": "fail", **item, "error": f"error {two}", "cancelled": two % 11 == 0}
        if verb == "heartbeat":
            return {"cmd": "heartbeat", **item}
        if verb == "progress":
            return {"cmd": "progress", **item, "progress": two % 256, "message": f"m{two}"}
        if verb in ("ack_batch", "fail_batch"):
            wanted = [self._job(one + place) for place in range(two % 8)]
            return {"cmd": verb, "items": [{"id": job_id, **self._token(job_id, two + one)} for job_id in wanted]}
        return None

    def _schedule_verb(self, verb: str, queue: str, two: int) -> Json | None:
        if not verb.startswith("schedule_"):
            return None
        asked: Json = {"cmd": verb, "name": "st"[two % 2]}
        if verb in ("schedule_create", "schedule_put"):
            asked |= {"queue": queue, "job_name": "n", "job_data": two, **_TIMINGS[two % len(_TIMINGS)]}
            asked["reset"] = two % 11 == 0
        return asked

    def _queue_verb(self, verb: str, queue: str, two: int) -> Json | None:
        limit: Json = {"limit": two % 4} if two % 2 else {}
        if verb == "queue_pause":
            return {"cmd": verb, "queue": queue, "mode": ("reject", "hold", "both")[two % 3]}
        if verb == "queue_settings":
            return {"cmd": verb, "queue": queue, **_SETTINGS[two % len(_SETTINGS)]}
        if verb == "queue_delete":
            return {"cmd": verb, "queue": queue, "force": two % 3 > 0}
        if verb == "queue_clean":
            outcome = ("completed", "dlq", "cancelled")[two % 3]
            return {"cmd": verb, "queue": queue, "state": outcome, "older_than_ms": two % 2 * 100, **limit}
        if verb == "dlq_retry":
            rate: Json = {"rate_per_s": 1 + two % 2} if two % 3 else {}
            return {"cmd": verb, "queue": queue, "dry_run": two % 5 == 0, **rate, **limit}
        if verb.startswith("webhook_"):
            return {"cmd": verb, "name": HOOKS[two % 2]}
        if verb == "token_delete":
            return {"cmd": verb, "id": f"t{two % 4}"}
        if verb == "worker_drain":
            return {"cmd": verb, "worker_id": f"w{two % 2}", "drain": two % 3 == 0}
        if verb == "sweep_cancel":
            return {"cmd": verb, "id": self.sweeps[-1] if self.sweeps else "none"}
        return {"cmd": verb, "queue": queue} if verb in ("queue_resume", "queue_drain", "dlq_purge") else None
