"""What each verb answers over HTTP: structs by status, and the refusals that not every request can get.

A new verb needs a line in `ANSWERS`. One that works on something that may not be there, or clashes with its state, says
so in `MISSING` or `CLASHES`.
"""

from msgspec import Struct

from rustqueue.api.routes import Body, Route, Source
from rustqueue.model import replies as r
from rustqueue.model.cluster.backups import BackupCreated, BackupPiece
from rustqueue.model.cluster.replies import ClusterInfo

Answers = dict[int, tuple[type[Struct], ...]]

DONE: Answers = {200: (r.Done,)}
MEMBERS: Answers = {200: (ClusterInfo,)}
BULK: Answers = {200: (r.BulkDone,), 202: (r.BulkDone,)}

ANSWERS: dict[str, Answers] = {
    "push": {201: (r.Pushed, r.PushedBatch)},
    "pull": {200: (r.PulledOne, r.Pulled)},
    "job_list": {200: (r.JobPage,)},
    "ack_batch": {200: (r.AckedBatch,)},
    "fail_batch": {200: (r.FailedBatch,)},
    "get": {200: (r.OneJob,)},
    "job_remove": DONE,
    "ack": DONE,
    "fail": {200: (r.FailedJob,)},
    "cancel": {200: (r.Cancelled,), 202: (r.Cancelling,)},
    "progress": {200: (r.Leased,)},
    "heartbeat": {200: (r.Leased,)},
    "job_retry": DONE,
    "job_promote": DONE,
    "job_priority": DONE,
    "job_parents": {200: (r.ParentPage,)},
    "job_result": {200: (r.JobOutcome,)},
    "job_why": {200: (r.Why,)},
    "job_history": {200: (r.History,)},
    "queue_scale": {200: (r.Scale,)},
    "dlq_groups": {200: (r.DeadGroups,)},
    "worker_list": {200: (r.WorkerPage,)},
    "worker_drain": DONE,
    "tx": {200: (r.TransactionDone,)},
    "list_queues": {200: (r.QueueNames,)},
    "queue_get": {200: (r.QueueInfo,)},
    "queue_settings": {200: (r.QueueReplaced,), 201: (r.QueueReplaced,)},
    "queue_delete": BULK,
    "stats": {200: (r.QueueStats,)},
    "queue_pause": DONE,
    "queue_resume": DONE,
    "queue_drain": BULK,
    "queue_clean": BULK,
    "dlq": {200: (r.JobPage,)},
    "dlq_purge": BULK,
    "dlq_retry": BULK,
    "flow": {200: (r.FlowPage,)},
    "sweep_get": {200: (r.SweepState,)},
    "sweep_cancel": DONE,
    "schedule_create": {201: (r.ScheduleCreated,)},
    "schedule_put": {200: (r.ScheduleReplaced,), 201: (r.ScheduleReplaced,)},
    "schedule_get": {200: (r.OneSchedule,)},
    "schedule_list": {200: (r.SchedulePage,)},
    "schedule_delete": DONE,
    "schedule_pause": {200: (r.OneSchedule,)},
    "schedule_resume": {200: (r.OneSchedule,)},
    "schedule_run": {200: (r.ScheduleRan,)},
    "schedule_runs": {200: (r.ScheduleRunPage,)},
    "backup_create": {200: (BackupCreated,)},
    "backup_read": {200: (BackupPiece,)},
    "backup_delete": DONE,
    "cluster_get": MEMBERS,
    "cluster_transfer": MEMBERS,
    "member_add": MEMBERS,
    "member_remove": MEMBERS,
    "member_replace": MEMBERS,
    "token_list": {200: (r.TokenPage,)},
    "token_create": {201: (r.TokenCreated,)},
    "token_delete": DONE,
    "webhook_create": {201: (r.WebhookStored,)},
    "webhook_list": {200: (r.WebhookPage,)},
    "webhook_get": {200: (r.OneWebhook,)},
    "webhook_put": {200: (r.WebhookStored,), 201: (r.WebhookStored,)},
    "webhook_delete": DONE,
    "webhook_pause": {200: (r.OneWebhook,)},
    "webhook_resume": {200: (r.OneWebhook,)},
    "webhook_test": {202: (r.WebhookTested,)},
    "webhook_resend": {200: (r.WebhookResent,)},
    "webhook_deliveries": {200: (r.DeliveryPage,)},
    "health": {200: (r.HealthInfo,)},
    "livez": DONE,
    "readyz": DONE,
}

MISSING = {
    *("push", "get", "job_remove", "ack", "fail", "cancel", "progress", "heartbeat"),
    *("job_retry", "job_promote", "job_priority", "job_parents", "job_result", "job_why", "job_history"),
    *("worker_drain", "tx"),
    *("queue_get", "queue_settings", "queue_delete", "queue_pause", "queue_resume", "queue_drain", "queue_clean"),
    *("dlq_purge", "dlq_retry", "sweep_get", "sweep_cancel", "token_delete"),
    *("schedule_create", "schedule_put", "schedule_get", "schedule_pause", "schedule_resume", "schedule_run"),
    "schedule_runs",
    *("webhook_get", "webhook_delete", "webhook_pause", "webhook_resume", "webhook_test", "webhook_resend"),
    "webhook_deliveries",
    *("backup_read", "backup_delete"),
}
"""404: what they name may not be there."""

CLASHES = {
    *("push", "tx", "job_remove", "ack", "fail", "cancel", "progress", "heartbeat"),
    *("job_retry", "job_promote", "job_priority", "queue_delete", "queue_settings", "sweep_cancel", "token_create"),
    "schedule_run",
    "webhook_create",
    *("cluster_transfer", "member_add", "member_remove", "member_replace"),
    "backup_create",
}
"""409: the state of things may be against them."""

MEANING = {
    400: "The request cannot be read, or a value is out of its range.",
    401: "No bearer token, or not a good one.",
    403: "The token may not do this, or a page of another origin asks.",
    404: "What the request names is not there.",
    408: "The request did not arrive in time; the connection ends.",
    409: "The state of things does not allow it.",
    412: "The record has another revision or owner than the request says.",
    413: "The body is too large; the connection ends.",
    414: "The target is too large; the connection ends.",
    415: "The body is no JSON, or compressed.",
    421: "This host name is not served here.",
    422: "A field is missing or has the wrong type, or the idempotency key was used with another request.",
    426: "This route speaks WebSocket.",
    429: "Too much at once, or a limit of the queue, or too many bad tokens: wait for Retry-After.",
    431: "The headers are too large; the connection ends.",
    500: "A defect of the node; its log explains it under the request id.",
    503: "Not now: paused, full disk, no leader, unknown outcome, shutting down. Wait for Retry-After.",
}
ALWAYS = (400, 408, 413, 414, 421, 429, 431, 500, 503)
"""Whatever the route: broken HTTP, crowds, foreign host names, and our own defects."""


def refusals(route: Route, *, guarded: bool) -> list[int]:
    """The statuses of all refusals that a route can answer."""
    statuses = set(ALWAYS)
    if not route.is_public:
        statuses |= {401, 403}
    if route.source is Source.GATEWAY:
        # Any body is looked at before it is refused, also where none is expected.
        statuses |= {415, 422}
    if route.source is Source.EVENTS:
        statuses.add(426)
    if route.verb in MISSING:
        statuses.add(404)
    if route.verb in CLASHES:
        statuses.add(409)
    if guarded:
        statuses.add(412)
    return sorted(statuses)


def has_body(route: Route) -> bool:
    return route.body is not Body.NONE
