"""Metrics: names of the contract, real histograms, bounded labels."""

import re
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from rustqueue.effects.depths import OldestJobs, QueueDepths
from rustqueue.effects.histogram import Histogram
from rustqueue.effects.metrics import Gauges, Labelled, Metrics
from rustqueue.model import limits
from rustqueue.model.commands import Ack, AckBatch, Heartbeat, Pull, PushJobs
from rustqueue.model.errors import Limited, Unavailable
from rustqueue.model.events import JobsChanged, QueueChanged
from rustqueue.model.ids import make_ids
from rustqueue.model.jobs import Counts
from rustqueue.model.replies import Done, Refused
from tests.unit.cluster_rig import cluster
from tests.unit.tcp_client import a_node, connected, until


def samples_of(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples, read by the library's own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def metrics_with(queues: list[tuple[str, Counts]] | None = None, rest: Counts | None = None) -> Metrics:
    return Metrics("1.2.3", lambda: Gauges([("due_lag_seconds", "Lag.", 1.5)], queues or [], rest))


def test_events_are_counted_by_job() -> None:
    metrics = metrics_with()
    metrics.on_events(
        1,
        1_000,
        [
            JobsChanged("pushed", "mail", [b"1", b"2"]),
            JobsChanged("started", "mail", [b"1"]),
            JobsChanged("failed", "mail", [b"1"], will_retry=True),
            JobsChanged("completed", "mail", [b"1", b"2", b"3"]),
            JobsChanged("progress", "mail", [b"1"]),
            QueueChanged("paused", "mail"),
        ],
    )
    samples = samples_of(metrics.text())
    counted = {
        name.removeprefix("rustqueue_jobs_"): value
        for (name, _), value in samples.items()
        if re.fullmatch("rustqueue_jobs_.*_total", name)
    }
    assert counted == {
        "pushed_total": 2,
        "pulled_total": 1,
        "failed_total": 1,
        "completed_total": 3,
        "dlq_total": 0,
        "cancelled_total": 0,
        "expired_total": 0,
    }


NO_EVENTS = {"cancelled": 0, "completed": 0, "dlq": 0, "expired": 0, "failed": 0, "pulled": 0, "pushed": 0}


def by_queue(metrics: Metrics) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for (name, labels), value in samples_of(metrics.text()).items():
        matched = re.fullmatch("rustqueue_queue_jobs_(.*)_total", name)
        if matched is not None:
            found.setdefault(dict(labels)["queue"], {})[matched[1]] = value
    return found


def test_events_are_counted_by_queue_within_a_bound() -> None:
    metrics = metrics_with()
    pushed = [JobsChanged("pushed", f"q{number}", [b"1"]) for number in range(limits.METRIC_QUEUES_MAX + 3)]
    metrics.on_events(1, 1_000, [*pushed, JobsChanged("started", "q0", [b"1"]), JobsChanged("dlq", "q9999", [b"1"])])
    counted = by_queue(metrics)
    assert len(counted) == limits.METRIC_QUEUES_MAX + 1
    assert counted["q0"] == NO_EVENTS | {"pushed": 1, "pulled": 1}
    assert counted["_other"] == NO_EVENTS | {"pushed": 3, "dlq": 1}


def made_at(at_ms: int, number: int) -> bytes:
    return make_ids(at_ms, bytes(16), number, 0, 1)[0]


def test_waits_and_turnarounds_come_from_ids_and_from_what_the_machine_says() -> None:
    metrics = metrics_with()
    ids = [made_at(10_000, 1), made_at(10_000, 2), made_at(10_400, 3)]
    metrics.on_events(1, 10_500, [JobsChanged("started", "mail", ids)])
    metrics.on_events(2, 20_000, [JobsChanged("started", "mail", ids[:2], ready_ms=[19_990, 20_001])])
    metrics.on_events(3, 40_000, [JobsChanged("completed", "mail", ids), JobsChanged("completed", "mail", [])])
    samples = samples_of(metrics.text())
    wait, total = "rustqueue_job_wait_seconds", "rustqueue_job_total_seconds"
    assert [samples[f"{wait}_bucket", (("le", bound),)] for bound in ("0.001", "0.01", "0.1", "0.5", "+Inf")] == [
        *(1, 2, 3, 5, 5),
    ]
    assert samples[f"{wait}_sum", ()] == 0.5 + 0.5 + 0.1 + 0.01
    assert (samples[f"{total}_count", ()], samples[f"{total}_sum", ()]) == (3, 30 + 30 + 29.6)


def test_the_age_of_the_oldest_job_is_known_or_left_out() -> None:
    queues = [("busy", Counts(waiting=2)), ("calm", Counts()), ("unknown", Counts(waiting=1))]
    gauges = Gauges([], queues, None, oldest_ms={"busy": 8_500}, now_ms=10_000)
    samples = samples_of(Metrics("1.2.3", lambda: gauges).text())
    ages = {labels[0][1]: value for (name, labels), value in samples.items() if "oldest" in name}
    assert ages == {"busy": 1.5, "calm": 0}


def test_oldest_jobs_are_looked_for_a_bounded_number_at_a_time() -> None:
    looked: list[str] = []
    later: list[Callable[[], None]] = []
    ready = {f"q{number}": number for number in range(2 * limits.METRIC_OLDEST_A_TURN)}

    def oldest_ms(queue: str) -> int | None:
        looked.append(queue)
        return ready.get(queue)

    oldest = OldestJobs(oldest_ms, lambda _, call: later.append(call))
    # Given more queues than are looked at in a turn, then the others come in later turns
    assert len(oldest.read(list(ready))) == limits.METRIC_OLDEST_A_TURN
    assert len(oldest.read(list(ready))) == len(looked) == limits.METRIC_OLDEST_A_TURN
    while later:
        later.pop()()
    assert looked == list(ready)
    # And what is asked for no more is forgotten, what is gone too
    del ready["q1"]
    assert oldest.read(["q0", "q1", "q5"]) == {"q0": 0, "q5": 5}


def test_series_with_a_label_appear_with_their_first_value() -> None:
    trips = Histogram()
    trips.observe(3_000)
    labelled = (
        Labelled("raft_peer_lag_entries", "Lag.", "peer", {"n1": 4.0}),
        Labelled("raft_peer_round_trip_seconds", "Trips.", "peer", {"n1": trips}),
        Labelled("raft_peer_snapshot_ratio", "Snapshots.", "peer", {}),
    )
    text = Metrics("1.2.3", lambda: Gauges([], [], None, labelled=labelled)).text()
    samples = samples_of(text)
    assert samples["rustqueue_raft_peer_lag_entries", (("peer", "n1"),)] == 4
    assert samples["rustqueue_raft_peer_round_trip_seconds_bucket", (("le", "0.0025"), ("peer", "n1"))] == 0
    assert samples["rustqueue_raft_peer_round_trip_seconds_bucket", (("le", "0.005"), ("peer", "n1"))] == 1
    assert b"snapshot_ratio" not in text


async def test_a_leader_tells_how_far_each_other_node_is(tmp_path: Path) -> None:
    async with cluster(tmp_path) as rig:
        leader = await rig.led()
        others = sorted(rig.nodes.keys() - {leader})
        for _ in range(3):
            await rig.ask(leader, "push", queue="q", name="n", data=1)
        last = rig.nodes[leader].journal.last_index

        def told(node: str, name: str) -> dict[str, float]:
            samples = samples_of(rig.nodes[node].metrics.text())
            return {dict(labels)["peer"]: value for (at, labels), value in samples.items() if at == f"rustqueue_{name}"}

        await rig.until(
            lambda: (
                sorted(told(leader, "raft_peer_match_index")) == others
                and min(told(leader, "raft_peer_match_index").values()) >= last
            )
        )
        assert told(leader, "raft_peer_lag_entries").keys() == set(others)
        assert told(leader, "raft_peer_linked") == dict.fromkeys(others, 1)
        assert all(count >= 3 for count in told(leader, "raft_peer_round_trip_seconds_count").values())
        assert told(leader, "raft_peer_round_trip_seconds_count").keys() == set(others)
        assert told(others[0], "raft_peer_match_index") == {}
        assert told(others[0], "raft_peer_linked").keys() == rig.nodes.keys() - {others[0]}


def test_durations_are_real_histograms() -> None:
    metrics = metrics_with()
    one, many = PushJobs("mail", [], True), AckBatch(ids=[])
    timed = ((one, 900), (one, 1_100), (Pull(queue="mail"), 5), (Ack(id="1"), 7), (many, 8), (Heartbeat(id="1"), 9))
    for command, took_us in timed:
        metrics.command_answered(command, Done(), took_us)
    metrics.tick_applied(1_500)
    metrics.request_answered("GET", 200, 0.25)
    metrics.request_answered("GET", 503, 0.001)
    samples = samples_of(metrics.text())
    assert samples["rustqueue_scheduler_tick_duration_seconds", ()] == 0.0015
    push = "rustqueue_push_duration_seconds"
    assert samples[f"{push}_bucket", (("le", "0.001"),)] == 1
    assert samples[f"{push}_bucket", (("le", "0.0025"),)] == 2
    assert samples[f"{push}_bucket", (("le", "+Inf"),)] == samples[f"{push}_count", ()] == 2
    assert samples[f"{push}_sum", ()] == 0.002
    assert samples["rustqueue_pull_duration_seconds_count", ()] == 1
    assert samples["rustqueue_ack_duration_seconds_count", ()] == 2
    http = "rustqueue_http_request_duration_seconds"
    assert samples[f"{http}_count", (("method", "GET"),)] == 2
    by_class = [
        samples["rustqueue_http_requests_total", (("method", "GET"), ("status_class", name))] for name in ("2xx", "5xx")
    ]
    assert by_class == [1, 1]


def test_pushes_that_a_limit_refused_are_counted_by_a_bounded_number_of_queues() -> None:
    metrics = metrics_with()
    full = Refused.of(Limited.queue_full("x", 1))
    metrics.command_answered(PushJobs("mail", [], True), Refused.of(Unavailable.paused("mail")), 1)
    for number in range(limits.METRIC_QUEUES_MAX + 2):
        metrics.command_answered(PushJobs(f"q{number}", [], True), full, 1)
    metrics.command_answered(PushJobs("q0", [], True), full, 1)
    samples = samples_of(metrics.text())
    rejected = {labels: value for (name, labels), value in samples.items() if name.endswith("rejected_total")}
    assert len(rejected) == limits.METRIC_QUEUES_MAX + 1
    assert (rejected[("queue", "q0"),], rejected[("queue", "_other"),]) == (2, 2)


def test_a_value_on_a_bound_belongs_below_it() -> None:
    histogram = Histogram((10, 20))
    for value_us in (0, 10, 11, 20, 21):
        histogram.observe(value_us)
    assert histogram.buckets() == [("1e-05", 2.0), ("2e-05", 4.0), ("+Inf", 5.0)]


def test_depths_have_a_label_for_each_queue_and_one_for_the_rest() -> None:
    samples = samples_of(metrics_with([("mail", Counts(waiting=3, dlq=1))], Counts(active=9)).text())
    assert samples["rustqueue_queue_waiting_jobs", (("queue", "mail"),)] == 3
    assert samples["rustqueue_queue_dlq_jobs", (("queue", "mail"),)] == 1
    assert samples["rustqueue_queue_active_jobs", (("queue", "_other"),)] == 9
    assert samples["rustqueue_due_lag_seconds", ()] == 1.5
    assert samples["rustqueue_build_info", (("version", "1.2.3"),)] == 1


def test_queues_beyond_the_bound_are_added_up_a_bounded_number_at_a_time() -> None:
    # Given more queues than have labels
    count = 2 * limits.METRIC_QUEUES_MAX + 5
    queues = [(f"q{number:05}", Counts(waiting=1, blocked=2)) for number in range(count)]
    later: list[Callable[[], None]] = []
    depths = QueueDepths(lambda: queues, lambda _, call: later.append(call))
    # When they are read, then the first are there at once and the rest a few turns later
    first, rest = depths.read()
    assert ([name for name, _ in first], rest) == ([name for name, _ in queues[: limits.METRIC_QUEUES_MAX]], None)
    turns = 0
    while later:
        later.pop()()
        turns += 1
    assert turns == 2
    left = count - limits.METRIC_QUEUES_MAX
    assert depths.read()[1] == Counts(waiting=left, blocked=2 * left)
    # And it is gone when they are few again
    queues[10:] = []
    while later:
        later.pop()()
    assert depths.read() == (queues, None)


async def test_a_node_counts_what_its_clients_do_and_nothing_in_a_replay() -> None:
    async with a_node() as node, connected(node) as client:
        await client.ask("push_batch", queue="mail", jobs=[{"name": "n"}] * 3)
        pulled = await client.ask("pull", queue="mail")
        await client.ask("ack", id=pulled["job"]["id"])
        await until(lambda: b"rustqueue_jobs_completed_total 1.0" in node.metrics.text(), client)
        samples = samples_of(node.metrics.text())
        assert samples["rustqueue_jobs_pushed_total", ()] == 3
        assert samples["rustqueue_jobs_pulled_total", ()] == 1
        assert samples["rustqueue_queue_waiting_jobs", (("queue", "mail"),)] == 2
        assert samples["rustqueue_tcp_connections", ()] == 1
        assert samples["rustqueue_raft_applied_index", ()] == 3
        assert samples["rustqueue_journal_sync_duration_seconds_count", ()] == 3
        assert samples["rustqueue_push_duration_seconds_count", ()] == 1
