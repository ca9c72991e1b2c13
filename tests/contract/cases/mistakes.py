"""What clients get wrong, and how they are told: which field, which limit, and nothing is done (decisions A8, A30)."""

from typing import Any, Final

from tests.conformance.bodies import ask, counts, invalid, ok, refused
from tests.conformance.protocols import Json
from tests.contract.cases.lines import told
from tests.contract.cases.words import nothing, push, pushed, shown
from tests.contract.table import ANY, Ask, Case, Step, http

NO_NAME: Final = "may only hold ASCII letters, digits, '-', '_' and '.'"
JOB: Final = {"name": "n", "data": 1}
NO_CURSOR: Final = "'cursor' must be the 'next_cursor' of the page before"
NUMBER_BYTES: Final = 20
STATES: Final = ("waiting", "delayed", "blocked", "active", "completed", "dlq", "cancelled")
BACKOFFS: Final = ("decorrelated_jitter", "exponential", "fixed", "linear")
JOB_EVENTS: Final = ("cancelled", "completed", "dlq", "expired", "failed", "progress", "pushed", "started")
EVENTS: Final = (*(f"job.{name}" for name in JOB_EVENTS), "queue.paused", "queue.resumed")
TEN_YEARS_MS: Final = 315_360_000_000


def wrong(asked: Ask, reason: str, **details: Any) -> Step:
    return Step(asked, 400, invalid(reason, **details))


def none_of(asked: Ask, field: str, *words: str, **place: int) -> Step:
    """Another word where only these are good."""
    return wrong(asked, f"'{field}' must be one of {', '.join(words)}", field=field, allowed=list(words), **place)


def shape(asked: Ask, field: str, **place: int) -> Step:
    """A missing field, or one of another type."""
    return Step(asked, 422, told("VALIDATION_ERROR", field=field, **place))


def schedule(**fields: Any) -> Ask:
    return ask("schedule_create", name="$s", queue="$q", job_name="n", **fields)


def settings(**fields: Any) -> Ask:
    return ask("queue_settings", queue="$q", **fields)


def token(**scope: Any) -> Ask:
    return ask("token_create", name="$t", scopes=[{"verbs": ["push"], "queues": ["*"], **scope}])


def not_allowed(*methods: str) -> Json:
    return told("METHOD_NOT_ALLOWED", allowed=list(methods))


def no_route(path: str) -> Json:
    return refused("NOT_FOUND", f"There is no route '{path}'")


CASES: Final[dict[str, Case]] = {
    "words that are wrong": Case(
        "Faults cron, Faults zone, Faults url, Faults schema, Faults scope, Faults filter, Faults cursor",
        [
            wrong(
                schedule(cron_expr="* * *"),
                "Invalid cron expression: it has 3 fields, five or six (seconds first) are needed",
                field="cron_expr",
            ),
            wrong(
                schedule(cron_expr="H * * * *"), "Invalid cron expression: the field 'H' is not one", field="cron_expr"
            ),
            wrong(
                schedule(cron_expr="0 0 30 2 *"),
                "Invalid cron expression: '0 0 30 2 *' never matches a date",
                field="cron_expr",
            ),
            wrong(
                schedule(every_ms=0),
                f"'every_ms' must be a whole number from 1 to {TEN_YEARS_MS}, not 0",
                field="every_ms",
                limit=1,
            ),
            wrong(
                schedule(cron_expr="@daily", timezone="Mars/Olympus"),
                "'Mars/Olympus' is not the name of a time zone",
                field="timezone",
            ),
            wrong(
                schedule(every_ms=1_000, job_options={"colour": 1}),
                "unknown field 'job_options.colour'",
                field="job_options.colour",
            ),
            Step(ask("schedule_get", name="$s"), 404, refused("SCHEDULE_NOT_FOUND", "Schedule not found: $s")),
            wrong(
                ask("webhook_create", url="ftp://example.com/"),
                "'url' must be http://HOST[:PORT][/PATH] or https://..., in ASCII, without user, password or fragment",
                field="url",
            ),
            wrong(
                ask("webhook_create", url="http://10.0.0.1/"),
                "'url' cannot be called: address 10.0.0.1 is not a public one",
                field="url",
            ),
            none_of(
                ask("webhook_create", url="http://127.0.0.1:9/", events=["job.eaten"]),
                "events[0]",
                *EVENTS,
                *(event.replace(".", "_") for event in EVENTS),
            ),
            Step(ask("webhook_list"), 200, ok(webhooks=[])),
            Step(settings(payload_schema={"type": "colour"}), 400, told("VALIDATION_ERROR", field="payload_schema")),
            Step(
                settings(payload_schema={"$ref": "http://example.com/"}),
                400,
                told("VALIDATION_ERROR", field="payload_schema.$ref"),
            ),
            shape(settings(payload_schema=7), "payload_schema"),
            none_of(settings(mode="sleep"), "mode", "both", "hold", "normal", "reject"),
            none_of(token(verbs=["fly"]), "scopes[0].verbs[0]", "admin", "pull", "push", "read"),
            wrong(
                token(queues=["a b"]),
                "'scopes[0].queues[0]' may only hold what queue names hold, and '*'",
                field="scopes[0].queues[0]",
            ),
            wrong(
                token(queues=[]),
                "'scopes[0].queues' must be a list of 1 to 64 items, not 0",
                field="scopes[0].queues",
                limit=1,
            ),
            wrong(
                ask("dlq_retry", queue="$q", filter={"before": "noon"}),
                "'filter.before' is not an RFC 3339 time",
                field="filter.before",
            ),
            wrong(
                ask("dlq_retry", queue="$q", filter={"colour": 1}),
                "unknown field 'filter.colour'",
                field="filter.colour",
            ),
            none_of(ask("job_list", state="asleep"), "state", *STATES),
            none_of(ask("job_list", order="up"), "order", "asc", "desc"),
            none_of(ask("queue_clean", queue="$q", state="active"), "state", "cancelled", "completed", "dlq"),
            none_of(ask("queue_pause", queue="$q", mode="normal"), "mode", "both", "hold", "reject"),
            none_of(schedule(every_ms=1_000, missed="never"), "missed", "all", "once", "skip"),
            none_of(schedule(every_ms=1_000, overlap="never"), "overlap", "allow", "skip"),
            none_of(ask("webhook_deliveries", name="$h", show="all"), "show", "given_up", "recent", "waiting"),
            none_of(ask("stats", queue="$q", consistency="some"), "consistency", "linearizable", "local"),
            none_of(push(backoff="square"), "backoff", *BACKOFFS),
            none_of(push(options={"backoff": ""}), "options.backoff", *BACKOFFS),
            none_of(push(on_parent_failure="cry"), "on_parent_failure", "cascade", "continue", "ignore"),
            none_of(
                ask("push_batch", queue="$q", jobs=[JOB, {**JOB, "backoff": "square"}]),
                "jobs[1].backoff",
                *BACKOFFS,
                index=1,
            ),
            *(
                wrong(
                    ask("dlq_retry", queue="$q", filter={"fingerprint": text}),
                    "'filter.fingerprint' must be 16 digits of 0-9 and a-f, as the groups of dead jobs tell it",
                    field="filter.fingerprint",
                )
                for text in ("", "timeout", "0123456789ABCDEF", "0123456789abcdef0")
            ),
            Step(
                ask("dlq_retry", queue="$q", filter={"fingerprint": "0123456789abcdef"}), 404, told("QUEUE_NOT_FOUND")
            ),
            *(
                wrong(ask(verb, cursor=text, **fields), NO_CURSOR, field="cursor")
                for verb, fields in (
                    ("job_list", {}),
                    ("dlq", {"queue": "$q"}),
                    ("dlq_groups", {"queue": "$q"}),
                    ("flow", {"flow_id": "$f"}),
                    ("worker_list", {}),
                    ("schedule_list", {}),
                )
                for text in ("x", "-1", "s15")
            ),
        ],
        differs="8",
    ),
    "numbers and texts that are wrong": Case(
        "D 30, D 8",
        [
            shape(push(priority="5"), "priority"),
            shape(push(priority=1.0), "priority"),
            shape(push(lifo="yes"), "lifo"),
            shape(push(tags="a"), "tags"),
            shape(push(tags=["a", 7]), "tags[1]"),
            shape(push(options={"delay_ms": "1"}), "options.delay_ms"),
            wrong(
                push(delay_ms=-1),
                f"'delay_ms' must be a whole number from 0 to {TEN_YEARS_MS}, not -1",
                field="delay_ms",
                limit=0,
            ),
            wrong(
                push(ttl_ms=2**64),
                f"'ttl_ms' must be a whole number from 0 to {TEN_YEARS_MS}, not {2**64}",
                field="ttl_ms",
                limit=TEN_YEARS_MS,
            ),
            wrong(
                push(timeout_ms=10**30),
                f"'timeout_ms' must be a whole number from 0 to {TEN_YEARS_MS}, not {10**30}",
                field="timeout_ms",
                limit=TEN_YEARS_MS,
            ),
            wrong(
                push(custom_id=""),
                "'custom_id' must be a text of 1 to 256 characters, not 0",
                field="custom_id",
                limit=1,
            ),
            wrong(
                push(unique_key="u" * 1_025),
                "'unique_key' must be a text of at most 1024 characters, not 1025",
                field="unique_key",
                limit=1_024,
            ),
            wrong(
                push(unique_key="\u00fc" * 600),
                "'unique_key' is longer than 1024 bytes",
                field="unique_key",
                limit=1_024,
            ),
            wrong(push("a b"), f"'queue' {NO_NAME}", field="queue"),
            wrong(ask("push", queue="$q", name="a\u00fc", data=1), f"'name' {NO_NAME}", field="name"),
            wrong(
                ask("pull", queue="$q", count=1_001),
                "'count' must be a whole number from 0 to 1000, not 1001",
                field="count",
                limit=1_000,
            ),
            wrong(
                ask("job_list", limit=0), "'limit' must be a whole number from 1 to 1000, not 0", field="limit", limit=1
            ),
            Step(
                ask("push_batch", queue="$q", jobs=[JOB, {**JOB, "priority": None}, {"name": "n", "data": 1, "x": 1}]),
                400,
                invalid("unknown field 'jobs[2].x'", field="jobs[2].x", index=2),
            ),
            shape(ask("push_batch", queue="$q", jobs=[JOB, 7]), "jobs[1]", index=1),
            none_of(
                ask("tx", operations=[{"cmd": "stats", "queue": "$q"}]),
                "operations[0].cmd",
                *("push", "push_batch", "ack", "fail", "cancel"),
                operation=0,
            ),
            nothing(),
            # What is null is not given.
            pushed(priority=None, tags=None, options=None, metadata=None),
            shown(metadata=None),
        ],
        differs="8",
    ),
    "methods and addresses": Case(
        "D 8",
        [
            Step(http("HEAD", "/queues/$q/stats"), 200, ""),
            Step(http("HEAD", "/queues/$q/jobs"), 405, ""),
            Step(http("OPTIONS", "/queues/$q/jobs"), 204, ""),
            Step(http("PUT", "/queues/$q/jobs", JOB), 405, not_allowed("GET", "OPTIONS", "POST")),
            Step(http("DELETE", "/health"), 405, not_allowed("GET", "HEAD", "OPTIONS")),
            Step(http("POST", "//dashboard", {}), 405, not_allowed("GET", "HEAD")),
            Step(http("GET", "/queues/"), 404, no_route("/api/v1/queues/")),
            Step(http("GET", "/queues//stats"), 404, no_route("/api/v1/queues//stats")),
            Step(http("GET", "//API/v1/queues"), 404, no_route("/API/v1/queues")),
            Step(http("GET", "//api/v2/queues"), 404, no_route("/api/v2/queues")),
            Step(http("POST", "/queues/%24q/jobs", JOB), 400, invalid(f"'queue' {NO_NAME}", field="queue")),
            Step(http("GET", "/queues/a%2Fb/stats"), 400, invalid(f"'queue' {NO_NAME}", field="queue")),
            Step(
                http("GET", "/queues/%ff/stats"), 400, refused("PARSE_ERROR", "The request target is not valid UTF-8")
            ),
            Step(http("POST", "/queues/$q/j%6Fbs", JOB), 404, ANY),
            Step(http("POST", "/queues/$q%2Dx/jobs", JOB), 201, ok(id="#1")),
            Step(http("GET", "/queues/$q-x/stats?"), 200, ok(counts=counts(waiting=1), mode="normal")),
            Step(http("GET", "/queues/$q/stats?colour"), 400, invalid("unknown query key 'colour'", field="colour")),
            Step(
                http("GET", "/jobs?limit=5&limit=6"),
                400,
                invalid("the query key 'limit' is given twice", field="limit"),
            ),
            Step(
                http("GET", "/jobs?limit="),
                400,
                invalid(f"'limit' is not a whole number of at most {NUMBER_BYTES} digits", field="limit"),
            ),
            Step(http("GET", "/jobs/" + "x" * 20_000), 414, told("TOO_LARGE", field="target", limit=8_192)),
        ],
        differs="8",
    ),
    "bodies of another kind": Case(
        "D 8, D 28",
        [
            Step(http("POST", "/queues/$q/jobs"), 400, refused("PARSE_ERROR", "The request body is empty")),
            Step(http("POST", "/queues/$q/jobs", 7), 422, told("VALIDATION_ERROR", field="body")),
            Step(http("POST", "/queues/$q/jobs", b'{"name":"n","data":NaN}'), 400, told("PARSE_ERROR")),
            Step(http("POST", "/queues/$q/jobs", b'\xef\xbb\xbf{"name":"n","data":1}'), 400, told("PARSE_ERROR")),
            Step(
                http("POST", "/queues/$q/jobs", b'{"name":"n","data":"\xff"}'),
                400,
                refused("PARSE_ERROR", "The request is not valid UTF-8 (byte 20)"),
            ),
            Step(
                http("POST", "/queues/$q/jobs", b'{"name":"n","name":"m","data":1}'),
                400,
                invalid("the key 'name' stands twice in one object", field="name"),
            ),
            Step(
                http("POST", "/queues/$q/jobs", JOB, content_encoding="gzip"),
                415,
                told("UNSUPPORTED_MEDIA_TYPE", field="content-encoding"),
            ),
            Step(
                http("POST", "/queues/$q/jobs", JOB, content_type="application/xml"),
                415,
                told("UNSUPPORTED_MEDIA_TYPE", field="content-type"),
            ),
            Step(http("GET", "/queues/$q/stats", {}), 400, invalid("this request takes no body", field="body")),
            Step(http("POST", "/queues/$q/drain", b"[]"), 422, told("VALIDATION_ERROR", field="body")),
            nothing(),
            Step(
                http("POST", "/queues/$q/jobs", JOB, content_type="application/json; charset=utf-8"),
                201,
                ok(id="#1"),
            ),
            Step(http("POST", "/queues/$q/jobs", JOB, content_type="APPLICATION/JSON"), 201, ok(id="#2")),
            # Keys inside of payloads are nobody's business but the client's.
            Step(http("POST", "/queues/$q/jobs", b'{"name":"n","data":{"a":1,"a":2}}'), 201, ok(id="#3")),
            Step(http("POST", "/queues/$q/drain", b"", content_type="application/json"), 200, ANY),
        ],
        differs="8",
    ),
}
