"""What decisions F promise: the scope that each verb needs, written down apart from the code that enforces it.

Whoever adds a verb adds it here by judgement, not by copying from `rustqueue.gateway.permits`: the two are compared.
"""

from typing import Any, Final

QUEUE, JOB, SWEEP, SCHEDULE = "{queue}", "{job}", "{sweep}", "{schedule}"

SCOPE_OF: Final = {
    **dict.fromkeys(("push", "push_batch", "tx"), "push"),
    **dict.fromkeys(("pull", "ack", "ack_batch", "fail", "fail_batch", "progress", "heartbeat"), "pull"),
    **dict.fromkeys(("get", "job_list", "job_parents", "list_queues", "queue_get", "stats", "dlq", "flow"), "read"),
    "sweep_get": "read",
    **dict.fromkeys(("queue_scale", "job_why", "job_history", "job_result", "dlq_groups", "worker_list"), "read"),
    "worker_drain": "admin",
    **dict.fromkeys(("cancel", "job_retry", "job_promote", "job_priority", "job_remove"), "admin"),
    **dict.fromkeys(("queue_pause", "queue_resume", "queue_settings", "queue_delete", "queue_drain"), "admin"),
    **dict.fromkeys(("queue_clean", "dlq_retry", "dlq_purge", "sweep_cancel"), "admin"),
    **dict.fromkeys(("schedule_create", "schedule_put", "schedule_delete", "schedule_pause"), "admin"),
    **dict.fromkeys(("schedule_resume", "schedule_run"), "admin"),
    **dict.fromkeys(("schedule_get", "schedule_list", "schedule_runs"), "read"),
    "cluster_get": "read",
    **dict.fromkeys(("cluster_transfer", "member_add", "member_remove", "member_replace"), "admin"),
    **dict.fromkeys(("backup_create", "backup_read", "backup_delete"), "admin"),
    **dict.fromkeys(("token_create", "token_list", "token_delete"), "admin"),
    **dict.fromkeys(("webhook_create", "webhook_put", "webhook_list", "webhook_get", "webhook_delete"), "admin"),
    **dict.fromkeys(("webhook_pause", "webhook_resume", "webhook_test", "webhook_deliveries"), "admin"),
    "webhook_resend": "admin",
}

OPEN: Final = {"auth", "health"}
"""Verbs that need no token."""

EVERYWHERE: Final = {
    *("token_create", "token_list", "token_delete", "worker_list", "worker_drain"),
    *("webhook_create", "webhook_put", "webhook_list", "webhook_get", "webhook_delete", "webhook_pause"),
    *("webhook_resume", "webhook_test", "webhook_deliveries", "webhook_resend"),
    *("cluster_get", "cluster_transfer", "member_add", "member_remove", "member_replace"),
    *("backup_create", "backup_read", "backup_delete"),
}
"""Verbs that are about no queue: they need their scope on all of them."""

FILTERED: Final = {"list_queues", "flow", "schedule_list"}
"""Verbs that whoever may read anything may ask, and whose answers leave out what he may not read."""

ASKED: Final[dict[str, dict[str, Any]]] = {
    "push": {"queue": QUEUE, "name": "n", "data": 1},
    "push_batch": {"queue": QUEUE, "jobs": [{"name": "n", "data": 1}]},
    "pull": {"queue": QUEUE},
    "ack": {"id": JOB},
    "ack_batch": {"items": [{"id": JOB}]},
    "fail": {"id": JOB, "error": "e"},
    "fail_batch": {"items": [{"id": JOB, "error": "e"}]},
    "progress": {"id": JOB, "progress": 1},
    "heartbeat": {"id": JOB},
    "cancel": {"id": JOB},
    "job_retry": {"id": JOB},
    "job_promote": {"id": JOB},
    "job_priority": {"id": JOB, "priority": 1},
    "job_remove": {"id": JOB},
    "queue_pause": {"queue": QUEUE, "mode": "hold"},
    "queue_resume": {"queue": QUEUE},
    "queue_settings": {"queue": QUEUE, "lease_ms": 60_000},
    "queue_delete": {"queue": QUEUE},
    "queue_drain": {"queue": QUEUE},
    "queue_clean": {"queue": QUEUE, "state": "completed"},
    "dlq_retry": {"queue": QUEUE},
    "dlq_purge": {"queue": QUEUE},
    "sweep_cancel": {"id": SWEEP},
    "get": {"id": JOB},
    "job_list": {"queue": QUEUE},
    "job_parents": {"id": JOB},
    "list_queues": {},
    "queue_get": {"queue": QUEUE},
    "stats": {"queue": QUEUE},
    "dlq": {"queue": QUEUE},
    "flow": {"flow_id": "f"},
    "sweep_get": {"id": SWEEP},
    "schedule_create": {"name": SCHEDULE, "queue": QUEUE, "job_name": "n", "cron_expr": "@yearly"},
    "schedule_put": {"name": SCHEDULE, "queue": QUEUE, "job_name": "n", "cron_expr": "@yearly"},
    "schedule_delete": {"name": SCHEDULE},
    "schedule_pause": {"name": SCHEDULE},
    "schedule_resume": {"name": SCHEDULE},
    "schedule_run": {"name": SCHEDULE},
    "schedule_get": {"name": SCHEDULE},
    "schedule_list": {},
    "schedule_runs": {"name": SCHEDULE},
    "queue_scale": {"queue": QUEUE},
    "job_why": {"id": JOB},
    "job_history": {"id": JOB},
    "job_result": {"id": JOB},
    "dlq_groups": {"queue": QUEUE},
    "worker_list": {},
    "tx": {"operations": [{"cmd": "push", "queue": QUEUE, "name": "n", "data": 1}]},
    "worker_drain": {"worker_id": "w"},
    "token_create": {"name": "made.by.the.matrix", "scopes": [{"verbs": ["read"], "queues": ["*"]}]},
    "cluster_get": {},
    "cluster_transfer": {},
    "member_add": {"id": "n1", "address": "127.0.0.1:6801"},
    "member_remove": {"id": "n0"},
    "member_replace": {"id": "n0"},
    "backup_create": {},
    "backup_read": {"id": "0" * 32, "file": "CURRENT"},
    "backup_delete": {"id": "0" * 32},
    "token_list": {},
    "token_delete": {"id": "0000000000000000"},
    "webhook_create": {"url": "https://hooks.example/"},
    "webhook_put": {"name": "made.by.the.matrix", "url": "https://hooks.example/"},
    "webhook_list": {},
    "webhook_get": {"name": "none"},
    "webhook_delete": {"name": "none"},
    "webhook_pause": {"name": "none"},
    "webhook_resume": {"name": "none"},
    "webhook_test": {"name": "none"},
    "webhook_deliveries": {"name": "none"},
    "webhook_resend": {"name": "none"},
}
"""A good request of each verb. Words in braces become a queue, a job, a sweep, a schedule of it."""
