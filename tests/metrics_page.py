"""The table of docs/metrics.md: `python -m tests.metrics_page` writes it from what a leader shows, a test holds it."""

import asyncio
import tempfile
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from rustqueue.model.commands import PushJobs
from rustqueue.model.errors import Limited
from rustqueue.model.replies import Refused
from tests.unit.cluster_rig import cluster

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
BEGIN, END = "<!-- made from a node: begin -->", "<!-- made from a node: end -->"


async def text_of_a_leader(folder: Path) -> str:
    """Of two nodes that have had one of everything that makes a series appear."""
    async with cluster(folder, 2) as rig:
        leader = await rig.led()
        await rig.ask(leader, "push", queue="mail", name="n", data=1)
        node = rig.nodes[leader]
        node.metrics.request_answered("GET", 200, 0.1)
        node.metrics.command_answered(PushJobs("mail", [], True), Refused.of(Limited.queue_full("mail", 1)), 1)
        counted = b'rustqueue_queue_jobs_pushed_total{queue="mail"} 1'
        await rig.until(lambda: counted in node.metrics.text() and b"round_trip_seconds_count" in node.metrics.text())
        return node.metrics.text().decode()


def table(text: str) -> str:
    """One row a metric; the process's own are the library's to explain."""
    rows = ["| name | type | labels | what it tells |", "|---|---|---|---|"]
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("rustqueue_"):
            continue
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = f"{family.name}_total" if family.type == "counter" else family.name
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    return "\n".join(rows)


def page_with(page: str, text: str) -> str:
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + "\n" + table(text) + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        shown = asyncio.run(text_of_a_leader(Path(made)))
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), shown), encoding="utf-8")
