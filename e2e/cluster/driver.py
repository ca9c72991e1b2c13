"""What scenarios ask of a cluster, whoever made it: four verbs, and what every kubeconfig gives."""

from pathlib import Path
from typing import Protocol

from e2e.harness.kubectl import Kubectl


class Cluster(Protocol):
    """Nodes go by the names that kubectl shows."""

    @property
    def kubectl(self) -> Kubectl: ...

    @property
    def helm(self) -> Path | str: ...

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that run pods."""

    def up(self) -> None:
        """Boot it and wait until pods can run."""

    def down(self) -> None:
        """End it; nothing of it may be left."""

    def load(self, archive: Path) -> None:
        """Give every node the image in an archive."""

    def cut(self, node: str, peer: str | None = None) -> None:
        """Drop everything between a node and the world, or only between two nodes."""

    def heal(self, node: str) -> None:
        """End every cut of a node."""

    def kill(self, node: str) -> None:
        """A power cut: nothing on the node gets a chance to finish; its disk is kept."""

    def start(self, node: str) -> None:
        """Power on again."""

    def stop_api(self) -> None:
        """The API server goes away; nodes and pods stay."""

    def start_api(self) -> None: ...
