"""The rows of the contract by section, and where those are shown that no question and answer can show.

A section's name is that of the original's contract (A) or of our decisions: `D 1` to `D 37` are those about the
original, `D area` are areas of the new surface, `D name` its names,
`D start` how nodes are started, `D detail` what else a client can see.
Part B is the second system's; `D second` are our decisions about it. `Faults` are bad words and bad neighbours.
"""

from typing import Final

SECTIONS: Final[dict[str, str]] = {
    "A4": "push, pull, get, ack, fail, cancel, progress, heartbeat, queues, stats, pause, resume, dlq, flow, "
    "schedule create, schedule list, schedule get, schedule delete, schedule pause and resume, webhook "
    "create, webhook list, webhook get and delete, events, health, metrics, openapi and docs, pages",
    "A5": "name, data, priority, delay_ms, max_attempts, backoff, backoff_delay_ms, ttl_ms, timeout_ms, "
    "unique_key, tags, group_id, lifo, remove_on_complete, remove_on_fail, custom_id, metadata, "
    "depends_on, flow_id, queue name, order of checks",
    "A6": "ack, fail, progress",
    "A7": "framing, pipelining, auth good, auth bad, auth without token, before auth, auth on an open server, "
    "binary before auth, errors, push, push_batch, pull, ack, ack_batch, fail, cancel and heartbeat, "
    "progress, stats, schedule_create, schedule_list, schedule_get, schedule_delete pause resume, "
    "queue_pause queue_resume, options, missing fields",
    "A8": "push batch, pull batch, ack batch, channel, push response, pull response, ack response, error "
    "response, channel response, rules",
    "A9": "id, custom_id, name queue, data, result, state, progress, logs, priority, delay_until, created_at "
    "updated_at, started_at, completed_at, max_attempts, attempt, backoff, last_error, ttl_ms timeout_ms, "
    "unique_key, tags, group_id, metadata, depends_on, flow_id, lifo and removals, worker_id, "
    "last_heartbeat",
    "A10": "push, delay reached, parents completed, parent dead, pull, ack, fail and retry, fail for good, "
    "timeout or stall, cancel",
    "A11": "order, backoff, max_attempts, retry latency, unique_key, timeout_ms, stall, removed parents, retention",
    "A12": "validation, depth, initial state, promotion, failure, parent cancelled, batch push, index, flow "
    "status, follow-ups",
    "A13": "name, queue job_name, job_data, job_options, cron_expr, every_ms, timezone, max_executions, "
    "returned, behaviour, dialect",
    "A14": "tick, retention",
    "A15": "enabled, storage, register body, object, delivery, headers, success, retries, timeout, concurrency, "
    "missing",
    "A16": "events",
    "A17": "queue pause, dlq, rate limit",
    "A18": "tokens, lockout",
    "A19": "server, storage, auth, scheduler, jobs, retention, dashboard, logging, metrics, tls, webhooks, "
    "queues, cluster",
    "A20": "ports, host, log, telemetry, serve, status, push, inspect, schedules list, schedules create, "
    "schedules delete pause resume, help version",
    "A21": "job counters, schedules fired, http requests, webhooks, rate limit, queue gauges, live gauges, "
    "durations, http durations",
    "A22": "dashboard, panels, refresh, other pages, openapi",
    "A23": "redb, buffered, hybrid, in_memory, sqlite, postgres",
    "A24": "builders, methods, workflow, registry, dispatch, axum, metrics, auth helpers, features",
    "A25": "node http, node tcp, python http, go http, go tcp",
    "A26": "deployment",
    "A31": "api_jobs, auth_tests, tcp_protocol, tcp_auth_tests, dag_flow_tests, job_chaining_tests, "
    "schedule_api_tests, scheduler_integration, websocket_events, webhook_tests, storage_backend_tests, "
    "chaos_tests, others",
    "B2": "create, get, list, cancel, health, metrics, docs, job, errors, rejections, payloads",
    "B3": "status, attempts, last_error, idempotency_key",
    "B4": "dequeue, success, failure, failure at max, cancel waiting, cancel running, recovery, terminal",
    "B5": "backoff, executor, simulator, runtime",
    "B6": "started, completed, duration, environment",
    "B7": "queue_ops, api_jobs, idempotency, retry_and_cancel, worker_dequeue, cancel_running, two workers, unit",
    "D": ", ".join(str(number) for number in range(1, 38)),
    "D second": "1, 2, 3, 4, 5, 6, 7, 8",
    "D area": "jobs, queues, dlq, bulk, pull, workers, schedules webhooks, declarative owners, cluster, scaling, "
    "transactions, auth",
    "D name": "attempt token, heartbeat reply, cancel of a running job, idempotent writes, request_id, unknown "
    "outcome, push options, queue settings, undeclared queues, receipt, dlq retry, drain clean purge, "
    "transaction, scale, why, history, lists, cluster, consistency",
    "D start": "single node, cluster, operating it, local cluster, durability, storage, secrets",
    "D detail": "tokens, preconditions, values, mode of a queue, schedules, cascade, custom_id in use, STALE_ATTEMPT, "
    "with_parent_results, sweeps, workers, consistency, jobs with a known key, result expired, flags of settings, "
    "cors host, second webhook secret, tcp verbs",
    "Faults": "cron, zone, url, schema, scope, token, filter, cursor, receiver that hangs, receiver that lies, "
    "receiver that answers slowly, receiver that redirects, receiver that is down for a day, full outbox, "
    "stalled followers, secrets",
}
ROWS: Final = tuple(f"{section} {row}" for section, rows in SECTIONS.items() for row in rows.split(", "))
