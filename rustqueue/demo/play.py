"""The story of the demo, from the first push to the final table.

Invariant: everything it started is stopped and its folder removed when it ends, unless it was asked to keep them or the
node lost something; then they are evidence.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from rustqueue import __version__
from rustqueue.client import Client, RustQueueError
from rustqueue.demo.child import NodeFailed
from rustqueue.demo.crew import Producer, jobs_for, workers
from rustqueue.demo.ledger import Ledger, Outcome
from rustqueue.demo.screen import Screen, facts_table
from rustqueue.demo.sites import Cluster, OneNode, Site
from rustqueue.demo.sources import Facts, Totals, library_folder, list_sources, read_source, total_of
from rustqueue.demo.worker import QUEUE, READ_JOB

KILL_AT_PERCENT = 40
LOOK_EVERY_S = 0.1
STUCK_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the person asked for."""

    nodes: int = 1
    workers: int = 2
    limit: int | None = None
    keep: bool = False


class DemoFailed(Exception):
    """It could not be played to its end."""


def play(plan: Plan, out: TextIO) -> int:
    """Play it; 0 when nothing was lost and the totals are right."""
    screen = Screen(out, time.monotonic)
    root = library_folder()
    names = list_sources(root, plan.limit)
    folder = Path(tempfile.mkdtemp(prefix="rustqueue-demo-"))
    site: Site = OneNode(folder) if plan.nodes == 1 else Cluster(folder, plan.nodes)
    good = keep = False
    screen.say(f"RustQueue {__version__}: {site.what}, {plan.workers} workers, and a SIGKILL in the middle.\n")
    screen.say(f"  {len(names):,} Python files become a job each, those of the standard library in\n  {root}.")
    try:
        ledger, total_id = _run(site, root, names, plan.workers, ledger=Ledger(), screen=screen)
        with Client(site.tcp_url) as client:
            outcome, told = _ask(client, ledger, total_id)
        expected = _plain_loop(root, names, screen)
        good = outcome.lost == 0 and outcome.acknowledged == outcome.pushed and told == expected
        _report(screen, outcome, told, expected)
        keep = plan.keep and good
        if keep:
            screen.say(_what_next(site))
    except (NodeFailed, DemoFailed, RustQueueError) as error:
        screen.say(f"\nThe demo failed: {error}")
    except KeyboardInterrupt:
        screen.say("\nStopped.")
        good = True
        return 130
    finally:
        if not keep:
            site.stop()
        if good and not keep:
            shutil.rmtree(folder, ignore_errors=True)
        elif not good:
            screen.say(f"Data and logs are in {folder}.")
    return 0 if good else 1


def _run(
    site: Site, root: Path, names: list[str], workers_count: int, ledger: Ledger, screen: Screen
) -> tuple[Ledger, str]:
    """All jobs through the queue, with one kill. The id of the last job, which has the total."""
    screen.say(f"\n{site.start()}\n")
    producer = Producer(site.tcp_url, names, ledger)
    total = jobs_for(len(names))
    killed = False
    with workers(site.tcp_url, root, workers_count, ledger):
        producer.start()
        watch = Watch(ledger)
        while not watch.is_over(producer):
            progress = ledger.progress()
            if not killed and progress.acknowledged * 100 >= total * KILL_AT_PERCENT:
                killed = True
                _kill_and_restart(site, ledger, screen, total)
            screen.draw(progress.pushed, progress.acknowledged, total, watch.speed_text(progress.acknowledged))
            ledger.wait_for_change(LOOK_EVERY_S)
        if not killed:
            # So few files that they were done between two looks.
            _kill_and_restart(site, ledger, screen, total)
        screen.draw(*ledger.progress(), total, watch.speed_text(ledger.progress().acknowledged), last=True)
    producer.join()
    assert producer.total_id is not None
    return ledger, producer.total_id


class Watch:
    """Whether it goes on, and how fast.

    It is over when clients were told of the end of every job. That the last one ended is not enough: a worker may have
    its answer and not have written it down yet while the node has already handed out what waited for its jobs.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._begin_s = self._moved_s = time.monotonic()
        self._seen = 0

    def is_over(self, producer: Producer) -> bool:
        """True when all jobs were acknowledged. Raises DemoFailed when a client gave up or nothing moves any more."""
        failure = self._ledger.failure
        if failure is not None:
            raise DemoFailed(failure)
        # Asked first: once it is there, every push has been noted.
        total_id = producer.total_id
        (pushed, acknowledged), now_s = self._ledger.progress(), time.monotonic()
        if acknowledged != self._seen:
            self._seen, self._moved_s = acknowledged, now_s
        elif now_s - self._moved_s > STUCK_S:
            raise DemoFailed(f"no job was acknowledged for {STUCK_S:.0f} s")
        return total_id is not None and acknowledged == pushed

    def speed_text(self, acknowledged: int) -> str:
        elapsed_s = time.monotonic() - self._begin_s
        return f"{acknowledged / elapsed_s:,.0f} jobs/s" if elapsed_s > 0 else ""


def _kill_and_restart(site: Site, ledger: Ledger, screen: Screen, total: int) -> None:
    """Between two draws, so that the lines that stay are not drawn over."""
    killed = site.kill()
    pushed, acknowledged = ledger.progress()
    waiting = pushed - acknowledged
    screen.draw(pushed, acknowledged, total, f"{killed} killed", last=True)
    screen.say(f"\n  SIGKILL to {killed}: {acknowledged:,} jobs acknowledged, {waiting:,} more pushed and unfinished.")
    screen.say(f"{site.recover()}\n")


def _ask(client: Client, ledger: Ledger, total_id: str) -> tuple[Outcome, Totals]:
    """What the restarted node says about every job, against what its clients were told."""
    existing: set[str] = set()
    completed: set[str] = set()
    for job in client.iter_jobs(queue=QUEUE, limit=1_000):
        existing.add(job.id)
        if job.state == "completed":
            completed.add(job.id)
    last = client.get(total_id)
    if last is None or last.raw_result is None:
        raise DemoFailed(f"the job {total_id} was acknowledged, its result is not there")
    return ledger.compare(existing, completed), msgspec.json.decode(last.raw_result, type=Totals)


def _plain_loop(root: Path, names: list[str], screen: Screen) -> Totals:
    """The same work without a queue."""
    screen.say("\n  The same files in a plain loop, for comparison:")
    begin_s = time.monotonic()

    def facts() -> Iterable[Facts]:
        for done, name in enumerate(names, start=1):
            yield read_source(root, name)
            elapsed_s = time.monotonic() - begin_s
            screen.draw(done, done, len(names), f"{done / elapsed_s:,.0f} files/s", last=done == len(names))

    return total_of(facts())


def _report(screen: Screen, outcome: Outcome, told: Totals, expected: Totals) -> None:
    number: Callable[[int], str] = "{:,}".format
    same = told == expected
    rows = [
        ("files", number(told.files), f"{told.unparsed} of them no valid Python: a result as well"),
        ("lines", number(told.lines), ""),
        ("functions", number(told.functions), ""),
        ("classes", number(told.classes), ""),
        ("jobs acknowledged", number(outcome.acknowledged), "the files, and one that waited for all of them"),
        ("lost", number(outcome.lost), "acknowledged to a client, but not there"),
        ("run twice", number(outcome.run_twice), "at least once is the promise"),
        ("jobs/s", f"{outcome.jobs_per_s:,.0f}", f"in {outcome.seconds:.1f} s: the work, the kill, the restart"),
        ("push to ack, p50", f"{outcome.p50_ms:,.0f} ms", "waiting for a free worker included"),
        ("push to ack, p99", f"{outcome.p99_ms:,.0f} ms", ""),
    ]
    screen.say("\n" + facts_table(rows) + "\n")
    if same:
        screen.say(f"  The totals equal those of the plain loop (digest {told.digest[:12]}).")
    else:
        screen.say(f"  The totals DIFFER from the plain loop:\n    queue {told}\n    loop  {expected}")
    if outcome.lost or outcome.acknowledged != outcome.pushed:
        screen.say(f"  {outcome.lost} jobs LOST, {outcome.pushed - outcome.acknowledged} not finished.")


def _what_next(site: Site) -> str:
    url = site.http_url
    return f"""
{site.what.capitalize()} stays up. Try:

  curl -s {url}/api/v1/queues
  curl -s '{url}/api/v1/jobs?queue={QUEUE}&name={READ_JOB}&limit=1'
  curl -s -X POST {url}/api/v1/queues/mail/jobs \\
       -H 'Content-Type: application/json' -d '{{"name":"hello","data":{{"n":1}}}}'
  curl -s -X POST {url}/api/v1/queues/mail/pull
  curl -s {url}/api/v1/metrics/prometheus
  {_program()} status --url {url}

Stop it and remove its data:

  kill {" ".join(map(str, site.pids))} && rm -r {site.folder}"""


def _program() -> str:
    """How the person called us, as short as it can be typed again."""
    path = Path(sys.argv[0])
    if path.name != "rustqueue":
        return "python -m rustqueue"
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
