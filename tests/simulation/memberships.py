"""What the log says of the members: how often who came and went, and that no change was too big.

It must not know nodes. Invariants judged (number I26): one change makes one voter more or one fewer at most, there is
always a voter, and a leader leads by a configuration at least as new as any that was applied, in which it votes.
"""

from collections import Counter

from rustqueue.raft.cluster.config import Config, node_of
from rustqueue.raft.cluster.parts import ConfigLog
from tests.simulation.ledger import require

MEMBERSHIP_EVENTS = (
    "learners added",
    "learners promoted",
    "members removed",
    "members replaced",
)
"""What must have happened in a run of many seeds."""


class Memberships:
    """Told every configuration once, when the first node applies it."""

    def __init__(self) -> None:
        self.index = 0
        self.current: Config | None = None
        self.counts: Counter[str] = Counter()
        self.leaders: dict[int, str] = {}

    def saw(self, index: int, config: Config) -> None:
        before, self.current, self.index = self.current, config, index
        require(bool(config.voters), "I26", f"entry {index} leaves nobody to vote")
        if before is None:
            return
        changed = set(before.voters) ^ set(config.voters)
        require(len(changed) <= 1, "I26", f"entry {index} changes the voters {sorted(changed)} at once")
        came = [member.id for member in config.members if member.id not in before]
        went = [member.id for member in before.members if member.id not in config]
        alike = len(came) <= 1 and len(went) <= 1 and (not came or not went or node_of(came[0]) == node_of(went[0]))
        require(alike, "I26", f"entry {index} takes in {came} and lets go {went} at once")
        self.counts["learners promoted"] += bool(changed and not came and not went)
        self.counts["members replaced"] += bool(came and went)
        self.counts["learners added"] += bool(came and not went)
        self.counts["members removed"] += bool(went and not came)

    def leads(self, member: str, term: int, configs: ConfigLog) -> None:
        """A node has begun to lead."""
        other = self.leaders.setdefault(term, member)
        require(other == member, "I19", f"{other} and {member} both lead in term {term}")
        known = f"its configuration is that of {configs.current_index}, {self.index} is applied"
        require(configs.current_index >= self.index, "I26", f"{member} leads in term {term}, {known}")
        require(member in configs.current.voters, "I26", f"{member} leads in term {term} and does not vote")

    def one_at_a_time(self, member: str, configs: ConfigLog, commit_index: int) -> None:
        """Asked of a leader that has committed an entry of its own term."""
        pending = [index for index, _ in configs.later if index > commit_index]
        require(len(pending) <= 1, "I26", f"{member} has begun changes {pending} before the first was committed")
