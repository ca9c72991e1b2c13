"""From bytes to the vocabulary, and decoder errors to ours: the one place where wire forms are checked and normalised.

Both protocols, the client's embedded use and the log's replay come through here, so a mistake gets the same code
everywhere (decisions A8). What the JSON decoder lets through is checked here: duplicate keys of our own objects,
UTF-8 and nesting inside raw payloads, sizes in bytes, names.
"""

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from rustqueue.model import limits, times
from rustqueue.model.commands import (
    Ack,
    AckBatch,
    Command,
    Creation,
    DlqFilter,
    DlqRetry,
    Fail,
    FailBatch,
    InternalCommand,
    JobCreate,
    LogForm,
    NewJob,
    Operation,
    Progress,
    Pull,
    Push,
    PushBatch,
    PushJobs,
    QueueSet,
    RunTransaction,
    SecretCommand,
    TokenCreate,
    Transaction,
    WireCommand,
)
from rustqueue.model.errors import ApiError, ParseError, TooLarge, ValidationFailed
from rustqueue.model.jobs import JobItem, JobOptions
from rustqueue.model.mistakes import choices
from rustqueue.model.mistakes.decoding import api_error
from rustqueue.model.queries import JobList, Query, Read, ShellQuery
from rustqueue.model.scan import is_deeper, own_colons, refuse_duplicate_keys
from rustqueue.model.schedules import ScheduleFields
from rustqueue.model.tokens import PATTERN
from rustqueue.model.webhooks.checks import check_definition
from rustqueue.model.webhooks.commands import WebhookCreate, WebhookPut

Request = Command | SecretCommand | Read | ShellQuery
"""Anything a client can ask, prepared."""

_client: Final[msgspec.json.Decoder[WireCommand | SecretCommand | Query | ShellQuery]] = msgspec.json.Decoder(
    WireCommand | SecretCommand | Query | ShellQuery
)
_logged: Final[msgspec.json.Decoder[WireCommand | InternalCommand | LogForm]] = msgspec.json.Decoder(
    WireCommand | InternalCommand | LogForm
)

_kinds: Final = choices.by_tag(WireCommand | SecretCommand | Query | ShellQuery)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_FINGERPRINT: Final = re.compile(rf"[0-9a-f]{{{limits.FINGERPRINT_DIGITS}}}", re.ASCII)
_known_names: dict[str, None] = {}
_KNOWN_NAMES_MAX: Final = 10_000
_options_default: Final = msgspec.structs.astuple(JobOptions())
_options_count: Final = len(_options_default)
_option_names: Final = JobOptions.__struct_fields__
_scan_depth_from: Final = limits.JSON_DEPTH_MAX * 2


def decode_request(line: bytes, *, data_required: bool = False) -> Request:
    """One request of a client. `data_required`: HTTP pushes must carry `data` (contract A5). Raises `ApiError`."""
    if not line.isascii():
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(f"The request is not valid UTF-8 (byte {error.start})") from None
    try:
        wire = _client.decode(line)
    except msgspec.MsgspecError as error:
        # How deep the decoder itself goes differs between versions of Python; what is said of a deep text must not.
        raise _not_decoded(error, line) from None
    except RecursionError:
        raise _too_deep("request") from None
    if isinstance(wire, PushBatch):
        jobs = _prepare_batch(wire, line, data_required)
        return PushJobs(wire.queue, jobs, False, wire.receipt, wire.idempotency_key, wire.request_id)
    refuse_duplicate_keys(line)
    return _prepare(wire, data_required)


def _not_decoded(error: msgspec.MsgspecError, line: bytes) -> ApiError:
    return _too_deep("request") if _is_too_deep(line) else api_error(error, choices.meant(line, _kinds), line)


def _is_too_deep(line: bytes) -> bool:
    """True for a text deeper than a payload may be inside the deepest of our own objects."""
    own = 6  # Transaction, list of operations, push, list of jobs, job, options.
    return is_deeper(line, limits.JSON_DEPTH_MAX + own)


def decode_logged(blob: bytes) -> Command:
    """A command of the log: it was checked when it came in, and is normalised again in the same way."""
    wire = _logged.decode(blob)
    match wire:
        case Push() | PushBatch():
            return _normalised(wire, blob)
        case Transaction():
            return _run_of(wire)
        case JobCreate():
            return _created(wire)
        case _:
            command: Command = wire
            return command


def creation(wire: JobCreate) -> PushJobs:
    """The command that a checked `wire` means. Raises `ValidationFailed`."""
    check_name(wire.kind, "kind", limits.QUEUE_NAME_BYTES_MAX)
    _check_payload(bytes(wire.payload), "payload", limits.DATA_BYTES_MAX)
    _check_bytes(wire.key, "idempotency_key", limits.IDEMPOTENCY_KEY_BYTES_MAX)
    return _created(wire)


def _created(wire: JobCreate) -> PushJobs:
    job = NewJob(wire.kind, bytes(wire.payload), None)
    terms = Creation(wire.max_attempts, wire.key, wire.scope, wire.traceparent)
    return PushJobs(wire.kind, [job], True, creation=terms)


def _normalised(wire: Push | PushBatch, line: bytes | None = None) -> PushJobs:
    if isinstance(wire, PushBatch):
        jobs = None if line is None else _plain_jobs(wire, line)
        if jobs is None:
            jobs = [_new_job(item) for item in wire.jobs]
    else:
        jobs = [_new_job(wire)]
    single = isinstance(wire, Push)
    return PushJobs(wire.queue, jobs, single, wire.receipt, wire.idempotency_key, wire.request_id)


def _run_of(wire: Transaction) -> RunTransaction:
    operations: list[Operation] = [
        _normalised(operation) if isinstance(operation, Push | PushBatch) else operation
        for operation in wire.operations
    ]
    return RunTransaction(operations, wire.idempotency_key, wire.request_id)


def _checked_run(wire: Transaction) -> RunTransaction:
    """Each operation is checked as if it came alone; errors say which one it is."""
    run = _run_of(wire)
    jobs_count = 0
    for place, operation in enumerate(run.operations):
        try:
            if operation.idempotency_key is not None or operation.request_id is not None:
                raise ValidationFailed("the key and the request id belong to the transaction", "idempotency_key")
            if isinstance(operation, PushJobs):
                jobs_count += len(operation.jobs)
                check_name(operation.queue, "queue", limits.QUEUE_NAME_BYTES_MAX)
                for number, job in enumerate(operation.jobs):
                    check_job(job, "" if operation.single else f"jobs[{number}].")
            else:
                _check_others(operation)
        except ValidationFailed as error:
            error.details = {**(error.details or {}), "operation": place}
            raise
    if jobs_count > limits.TX_JOBS_MAX:
        limit = limits.TX_JOBS_MAX
        raise ValidationFailed(f"a transaction pushes at most {limit} jobs", "operations", limit=limit)
    return run


def encode_command(command: msgspec.Struct) -> bytes:
    """The JSON text of a command that did not come as text. Internal commands and the clients use it."""
    return msgspec.json.encode(command)


def _prepare(wire: WireCommand | SecretCommand | Query | ShellQuery, data_required: bool) -> Request:
    queue = getattr(wire, "queue", None)
    if queue is not None:
        check_name(queue, "queue", limits.QUEUE_NAME_BYTES_MAX)
    if isinstance(wire, Push):
        job = _new_job(wire)
        check_job(job, "", data_required and wire.data is UNSET)
        return PushJobs(wire.queue, [job], True, wire.receipt, wire.idempotency_key, wire.request_id)
    if isinstance(wire, Transaction):
        return _checked_run(wire)
    if isinstance(wire, PushBatch):
        raise AssertionError("batches are prepared beside their line")
    _check_others(wire)
    return wire


def _check_others(wire: Command | SecretCommand | Query | ShellQuery) -> None:
    match wire:
        case Pull():
            _check_pull(wire)
        case AckBatch():
            if (wire.items is None) == (wire.ids is None):
                raise ValidationFailed("give either 'items' or 'ids'", "items", shape=wire.items is None)
            for position, item in enumerate(wire.items or ()):
                _check_result(item.result, f"items[{position}].result")
        case QueueSet():
            _check_settings(wire)
        case Ack():
            _check_result(wire.result, "result")
        case Fail() | FailBatch() | Progress():
            _check_texts(wire)
        case _:
            _check_rare(wire)


def _check_rare(wire: Command | SecretCommand | Query | ShellQuery) -> None:
    match wire:
        case TokenCreate():
            _check_token(wire)
        case WebhookCreate() | WebhookPut():
            check_definition(wire)
        case DlqRetry(filter=DlqFilter() as wanted):
            _check_fingerprint(wanted.fingerprint)
            parse_time(wanted.before, "filter.before")
            parse_time(wanted.after, "filter.after")
        case JobList():
            parse_time(wire.created_after, "created_after")
        case ScheduleFields():
            _check_schedule(wire)
        case _:
            return


def _check_fingerprint(text: str | None) -> None:
    """One that no error has would match nothing, and the caller would believe that there is nothing to bring back."""
    if text is not None and _FINGERPRINT.fullmatch(text) is None:
        reason = f"must be {limits.FINGERPRINT_DIGITS} digits of 0-9 and a-f, as the groups of dead jobs tell it"
        raise ValidationFailed(f"'filter.fingerprint' {reason}", "filter.fingerprint")


def _check_token(wire: TokenCreate) -> None:
    check_name(wire.name, "name", limits.TOKEN_NAME_BYTES_MAX)
    for place, scope in enumerate(wire.scopes):
        for position, pattern in enumerate(scope.queues):
            if PATTERN.fullmatch(pattern) is None:
                field = f"scopes[{place}].queues[{position}]"
                raise ValidationFailed(f"'{field}' may only hold what queue names hold, and '*'", field)


def _check_settings(wire: QueueSet) -> None:
    if isinstance(wire.payload_schema, Raw):
        _check_payload(bytes(wire.payload_schema), "payload_schema", limits.SCHEMA_BYTES_MAX)
    if wire.defaults is not None:
        _check_options(wire.defaults, "defaults.")
        _check_no_identity(wire.defaults)


def _check_texts(wire: Fail | FailBatch | Progress) -> None:
    """What workers say about their jobs."""
    if isinstance(wire, Fail):
        _check_bytes(wire.error, "error", limits.ERROR_BYTES_MAX)
    elif isinstance(wire, Progress):
        _check_bytes(wire.message, "message", limits.MESSAGE_BYTES_MAX)
    else:
        for position, failed in enumerate(wire.items):
            _check_bytes(failed.error, f"items[{position}].error", limits.ERROR_BYTES_MAX)


def _prepare_batch(wire: PushBatch, line: bytes, data_required: bool) -> list[NewJob]:
    check_name(wire.queue, "queue", limits.QUEUE_NAME_BYTES_MAX)
    jobs = _plain_jobs(wire, line)
    if jobs is not None:
        for position, job in enumerate(jobs):
            if job.name not in _known_names or not _is_harmless(job.data):
                check_job(job, f"jobs[{position}].")
        return jobs
    jobs = []
    for position, item in enumerate(wire.jobs):
        job = _new_job(item)
        missing = item.data is UNSET
        if job.name not in _known_names or job.options is not None or missing or not _is_harmless(job.data):
            check_job(job, f"jobs[{position}].", data_required and missing)
        jobs.append(job)
    refuse_duplicate_keys(line)
    return jobs


def _is_harmless(payload: bytes) -> bool:
    """True for a payload that cannot break a limit: of usual size, with too few brackets to be deep."""
    size_bytes = len(payload)
    return size_bytes <= _scan_depth_from or (
        size_bytes <= limits.DATA_BYTES_MAX and payload.count(b"{") + payload.count(b"[") <= limits.JSON_DEPTH_MAX
    )


def _plain_jobs(wire: PushBatch, line: bytes) -> list[NewJob] | None:
    """The jobs of a batch whose line has just the keys that it must have; None if there are others, or one twice.

    Every batch has `cmd`, `queue`, `jobs` and the name of each job, and whatever else stands there adds colons. So if
    all jobs have data and no colon is left over, no job has an option, and nobody need look for it in each.
    """
    payloads = [bytes(item.data) for item in wire.jobs if item.data is not UNSET]
    if len(payloads) != len(wire.jobs):
        return None
    optional = 0
    for text in (wire.request_id, wire.idempotency_key):
        if text is not None:
            optional += 1
            if ":" in str(text):
                return None
    if own_colons(line, payloads) != 3 + 2 * len(payloads) + optional:
        return None
    return [NewJob(item.name, data, None) for item, data in zip(wire.jobs, payloads, strict=True)]


def _new_job(item: JobItem) -> NewJob:
    data = b"{}" if item.data is UNSET else bytes(item.data)
    if item.options is None and msgspec.structs.astuple(item)[:_options_count] == _options_default:
        return NewJob(item.name, data, None)
    return NewJob(item.name, data, item if item.options is None else _merged(item, item.options))


def _merged(item: JobItem, nested: JobOptions) -> JobOptions:
    """Flat and nested options as one. A key given both ways with different values is an error (decisions A1)."""
    values: dict[str, Any] = {}
    for name in _option_names:
        flat, inner = getattr(item, name), getattr(nested, name)
        given, other = flat is not None and flat is not UNSET, inner is not None and inner is not UNSET
        if given and other and _plain(flat) != _plain(inner):
            raise ValidationFailed(f"'{name}' is given twice with different values", name)
        if given or other:
            values[name] = flat if given else inner
    return JobOptions(**values)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, Raw) else value


def check_job(job: NewJob, at: str, data_missing: bool = False) -> None:
    """Names and sizes of one job. `at` is put before field names in errors."""
    if data_missing:
        raise ValidationFailed(f"missing field '{at}data'", f"{at}data", shape=True)
    check_name(job.name, f"{at}name", limits.NAME_BYTES_MAX)
    _check_payload(job.data, f"{at}data", limits.DATA_BYTES_MAX)
    if job.options is not None:
        _check_options(job.options, at)


def _check_options(options: JobOptions, at: str) -> None:
    _check_bytes(options.unique_key, f"{at}unique_key", limits.UNIQUE_KEY_BYTES_MAX)
    _check_bytes(options.custom_id, f"{at}custom_id", limits.CUSTOM_ID_BYTES_MAX)
    _check_bytes(options.flow_id, f"{at}flow_id", limits.FLOW_ID_BYTES_MAX)
    _check_bytes(options.group_id, f"{at}group_id", limits.GROUP_ID_BYTES_MAX)
    if isinstance(options.metadata, Raw):
        _check_payload(bytes(options.metadata), f"{at}metadata", limits.METADATA_BYTES_MAX)
    if options.run_at is not None:
        parse_time(options.run_at, f"{at}run_at")
        if options.delay_ms is not None:
            raise ValidationFailed("give either 'delay_ms' or 'run_at'", f"{at}run_at")


def _check_schedule(wire: ScheduleFields) -> None:
    _check_bytes(wire.name, "name", limits.SCHEDULE_NAME_BYTES_MAX)
    if _CONTROL.search(wire.name) is not None:
        raise ValidationFailed("'name' holds a control character", "name")
    check_name(wire.job_name, "job_name", limits.NAME_BYTES_MAX)
    if isinstance(wire.job_data, Raw):
        _check_payload(bytes(wire.job_data), "job_data", limits.DATA_BYTES_MAX)
    if wire.job_options is not None:
        _check_options(wire.job_options, "job_options.")
    if (wire.cron_expr is None) == (wire.every_ms is None):
        raise ValidationFailed("give either 'cron_expr' or 'every_ms'", "cron_expr")
    starts_ms, ends_ms = parse_time(wire.starts_at, "starts_at"), parse_time(wire.ends_at, "ends_at")
    for at_ms, field in ((starts_ms, "starts_at"), (ends_ms, "ends_at")):
        if at_ms is not None and not 0 <= at_ms <= limits.SCHEDULE_TIME_MS_MAX:
            limit = times.to_text(limits.SCHEDULE_TIME_MS_MAX)
            raise ValidationFailed(f"'{field}' is not between 1970 and {limit}", field, limit=limit)
    if starts_ms is not None and ends_ms is not None and ends_ms < starts_ms:
        raise ValidationFailed("'ends_at' is before 'starts_at'", "ends_at")


def _check_no_identity(options: JobOptions) -> None:
    """What names one job cannot be a default of a queue."""
    for name in ("custom_id", "unique_key", "depends_on", "run_at"):
        if getattr(options, name) is not None:
            raise ValidationFailed(f"'{name}' cannot be a default of a queue", f"defaults.{name}")


def _check_pull(pull: Pull) -> None:
    if (pull.queue is None) == (pull.queues is None):
        raise ValidationFailed("give either 'queue' or 'queues'", "queue", shape=pull.queue is None)
    for position, weighted in enumerate(pull.queues or ()):
        check_name(weighted.queue, f"queues[{position}].queue", limits.QUEUE_NAME_BYTES_MAX)


def _check_result(result: Raw | UnsetType, field: str) -> None:
    if isinstance(result, Raw):
        _check_payload(bytes(result), field, limits.RESULT_BYTES_MAX)


def _check_payload(payload: bytes, field: str, limit: int) -> None:
    if len(payload) > limit:
        raise ValidationFailed(f"'{field}' is {len(payload)} bytes, the limit is {limit}", field, limit=limit)
    if not _is_harmless(payload) and is_deeper(payload, limits.JSON_DEPTH_MAX):
        raise _too_deep(field)


def _check_bytes(text: str | None, field: str, limit: int) -> None:
    """The decoder counted characters; this counts bytes, for the rare text that is not ASCII."""
    if text is not None and not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > limit:
        raise ValidationFailed(f"'{field}' is longer than {limit} bytes", field, limit=limit)
    if text is not None and _has_surrogate(text):
        raise ValidationFailed(f"'{field}' holds half a surrogate pair", field)


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def check_name(name: str, field: str, limit: int) -> None:
    """Queue and job names: ASCII letters, digits, `-`, `_`, `.` (contract A5). Raises `ValidationFailed`."""
    if name in _known_names and len(name) <= limit:
        return
    if not name or len(name) > limit:
        raise ValidationFailed(f"'{field}' must have 1 to {limit} characters", field, limit=limit)
    if _NAME.fullmatch(name) is None:
        raise ValidationFailed(f"'{field}' may only hold ASCII letters, digits, '-', '_' and '.'", field)
    if len(_known_names) >= _KNOWN_NAMES_MAX:
        _known_names.clear()
    _known_names[name] = None


def parse_time(text: str | None, field: str) -> int | None:
    """Milliseconds of an RFC 3339 time, None for None. Raises `ValidationFailed` naming the field."""
    if text is None:
        return None
    at_ms = times.from_text(text)
    if at_ms is None:
        raise ValidationFailed(f"'{field}' is not an RFC 3339 time", field)
    return at_ms


def _too_deep(field: str) -> ValidationFailed:
    limit = limits.JSON_DEPTH_MAX
    return ValidationFailed(f"'{field}' is nested deeper than {limit} levels", field, limit=limit)


def check_size(text: bytes, field: str, limit: int) -> None:
    """Raise `TooLarge` for a body or line over its limit."""
    if len(text) > limit:
        raise TooLarge(field, limit)
