"""The operator as a process: probes, leadership, watching, work. The only place where the parts are put together.

Order at start: probes (so that a standby is seen), the Lease, a first listing of everything (so that who is oldest is
known before anybody is served), then the watch and the workers. When leadership is lost the process ends; the next one
begins from nothing, which is the only state that a leader starts from.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from rustqueue_operator.certificates.rounds import Rounds as CertificateRounds
from rustqueue_operator.clusters import Clusters
from rustqueue_operator.handlers import watching
from rustqueue_operator.kinds.table import KINDS
from rustqueue_operator.kinds.webhook import WebhookSpec
from rustqueue_operator.kube.access import Access
from rustqueue_operator.kube.calls import OURS, Calls, Key, KubernetesError
from rustqueue_operator.kube.lease import Lease
from rustqueue_operator.members.rounds import Rounds as MemberRounds
from rustqueue_operator.metrics import Live, Metric, Metrics, counter, gauge
from rustqueue_operator.objects import KIND_OF, InvalidObject, Objects, desired_of, key_of
from rustqueue_operator.planning.activity import look_again_s
from rustqueue_operator.planning.values import Plan
from rustqueue_operator.probes import Probes
from rustqueue_operator.reconciler import Reconciler
from rustqueue_operator.settings import Settings
from rustqueue_operator.work import Work
from rustqueue_operator.workers.rounds import Rounds

log: Final = logging.getLogger("rustqueue.operator")

_TRY_AGAIN_S: Final = 0.5
_STUCK_S: Final = 120.0
_PROBE_S: Final = 0.5


class Operator:
    """One replica."""

    def __init__(self, access: Access, settings: Settings, take_signals: Callable[[], None]) -> None:
        """`take_signals` makes signals stop this process; it is called again when kopf has taken them."""
        self._take_signals = take_signals
        self._access = access
        self._settings = settings
        self._calls = Calls(access)
        self._objects = Objects()
        self._work: Work[Key] = Work()
        self._metrics = Metrics()
        self._clusters = Clusters(
            self._calls, settings.namespaces, settings.default_cluster, lambda name: self._wake_all()
        )
        self._lease = Lease(self._calls, access.namespace, settings.lease_name, settings.identity, settings.times)
        self._state = "starting"
        self.probes = Probes(self._metrics, self._alive, self._ready)
        self._metrics.registry.register(Live(self._live))

    def metrics_text(self) -> str:
        """What a scrape would get now."""
        return self._metrics.text().decode()

    async def run(self, stop: asyncio.Event) -> int:
        """Work until told to stop (0) or until leadership or the watch is lost (1)."""
        async with self._calls:
            await self.probes.start(self._settings.http_host, self._settings.http_port)
            try:
                self._state = "standby"
                if not await _first(self._lease.acquire(), stop.wait()):
                    return 0
                log.info("leading", extra={"identity": self._settings.identity})
                return await self._lead(stop)
            finally:
                await self._clusters.close()
                await self.probes.stop()

    async def _lead(self, stop: asyncio.Event) -> int:
        self._metrics.leader.set(1)
        holding = asyncio.create_task(self._lease.hold())
        work = asyncio.create_task(self._work_all())
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({holding, work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._state = "ending"
        # A write that is cut off here is carried out or not; whoever leads next looks before it writes.
        for task in (holding, stopping, work):
            task.cancel()
        await asyncio.gather(work, holding, stopping, return_exceptions=True)
        if stopping in done:
            await self._lease.release()
            return 0
        log.error("leadership lost" if holding in done else "watch or work ended")
        return 1

    async def _work_all(self) -> None:
        """Everything that a leader does; ends when any part of it does."""
        origin = await self._begin()
        reconciler = Reconciler(
            self._calls,
            self._objects,
            self._clusters,
            self._metrics,
            origin,
            self._settings.deletion_deadline_s,
        )
        members = MemberRounds(self._calls, self._clusters, self._metrics)
        certificates = CertificateRounds(self._calls, self._clusters, self._metrics)
        self._state = "leading"
        parts = [
            asyncio.create_task(
                watching.watch(self._access, self._settings.namespaces, self._seen, self._take_signals)
            ),
            asyncio.create_task(self._look_after_clusters()),
            asyncio.create_task(self._every(self._settings.members_s, members.go)),
            asyncio.create_task(
                self._every(min(self._settings.certificates_s, self._settings.drift_s), certificates.go)
            ),
            *([asyncio.create_task(self._protect())] if self._settings.protect_busy_workers else []),
            *(asyncio.create_task(self._worker(reconciler)) for _ in range(self._settings.workers)),
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _begin(self) -> str:
        """The identity of this Kubernetes; everything is known and waits for its turn when this returns."""
        while True:
            try:
                origin = await self._origin()
                await self._clusters.refresh()
                await self._clusters.probe()
                for kind in KINDS.values():
                    await self._list(kind.plural)
                return origin
            except KubernetesError as error:
                log.warning("not begun yet", extra={"error": str(error)})
                await asyncio.sleep(_TRY_AGAIN_S)

    async def _origin(self) -> str:
        """Who may not read the system's namespace is known by its own."""
        for name in ("kube-system", self._access.namespace):
            try:
                found = await self._calls.namespace(name)
            except KubernetesError as error:
                if error.status != 403:
                    raise
                continue
            if found is not None:
                return str(found["metadata"]["uid"])
        raise KubernetesError(403, f"may not get the namespace {self._access.namespace}")

    async def _list(self, plural: str) -> None:
        for scope in self._settings.namespaces or (None,):
            path = f"{OURS}/{plural}" if scope is None else f"{OURS}/namespaces/{scope}/{plural}"
            for item in (await self._calls.call("GET", path))["items"]:
                # Items of a list do not say their kind; nobody here needs it.
                self._seen("ADDED", key_of(plural, item), item)

    def _seen(self, type_: str, key: Key, raw: dict[str, Any]) -> None:
        if type_ == "DELETED":
            self._work.forget(key)
            for other in self._objects.remove(key):
                self._work.add(other)
        elif self._objects.put(key, raw):
            self._work.add(key)

    def _wake_all(self) -> None:
        for key in self._objects.every():
            self._work.add(key)

    async def _look_after_clusters(self) -> None:
        read_at = time.monotonic()
        while True:
            await asyncio.sleep(_PROBE_S)
            silent = any(cluster.silence is not None for cluster in self._clusters.known.values())
            due = time.monotonic() - read_at >= self._settings.clusters_s
            if due:
                read_at = time.monotonic()
                try:
                    await self._clusters.refresh()
                except KubernetesError as error:
                    log.warning("clusters not read", extra={"error": str(error)})
            if due or silent:
                await self._clusters.probe()

    async def _every(self, pause_s: float, go: Callable[[], Awaitable[None]]) -> None:
        """Rounds about nodes; whatever goes wrong in one, objects are still looked after."""
        while True:
            try:
                await go()
            except Exception:
                log.exception("defect", extra={"object": "nodes"})
            await asyncio.sleep(pause_s)

    async def _protect(self) -> None:
        rounds = Rounds(self._calls, self._clusters, self._settings.namespaces)
        while True:
            await asyncio.sleep(self._settings.protect_s)
            try:
                await rounds.go()
            except KubernetesError as error:
                log.warning("workers not read", extra={"error": str(error)})

    async def _worker(self, reconciler: Reconciler) -> None:
        while True:
            key = await self._work.take()
            begun = time.monotonic()
            try:
                outcome = self._next_look(key, await reconciler.reconcile(key))
            except KubernetesError as error:
                outcome = "kubernetes-error"
                log.warning("Kubernetes did not take it", extra={"object": "/".join(key), "error": str(error)})
                self._work.later(key)
            except Exception:
                # One object that we cannot handle must not stop the others.
                outcome = "defect"
                log.exception("defect", extra={"object": "/".join(key)})
                self._work.later(key)
            finally:
                self._work.done(key)
            self._metrics.reconciled(KIND_OF[key.plural], outcome, time.monotonic() - begun)

    def _next_look(self, key: Key, planned: Plan | None) -> str:
        if planned is None or planned.again == "never":
            self._work.succeeded(key)
            return "done"
        if planned.again in ("later", "soon"):
            self._work.later(key)
            return "again"
        self._work.succeeded(key)
        self._work.add(key, look_again_s(self._pause_s(key), planned.due_s))
        return "settled"

    def _pause_s(self, key: Key) -> float:
        """Spread by the key's own hash, so that objects applied together do not come back together."""
        share = 0.9 + (hash(key) % 1_000) / 5_000
        raw = self._objects.get(key)
        refers = False
        if raw is not None and KIND_OF[key.plural] == "Webhook":
            try:
                spec = desired_of(key, raw).spec
                refers = isinstance(spec, WebhookSpec) and spec.secret_key_ref is not None
            except InvalidObject:
                refers = False
        return share * (min(self._settings.secrets_s, self._settings.drift_s) if refers else self._settings.drift_s)

    def _alive(self) -> str | None:
        oldest = self._work.oldest_s()
        return f"an object has been waiting for {oldest:.0f} s" if oldest > _STUCK_S else None

    def _ready(self) -> str | None:
        return None if self._state in ("standby", "leading") else self._state

    def _live(self) -> Iterator[Metric]:
        kinds: dict[tuple[str, ...], float] = {(name,): 0 for name in KINDS}
        for key in self._objects.every():
            kinds[(KIND_OF[key.plural],)] += 1
        yield gauge("rustqueue_operator_objects", "Objects that are known.", ["kind"], kinds)
        yield gauge("rustqueue_operator_pending", "Objects whose turn has come.", [], {(): float(self._work.pending)})
        yield gauge(
            "rustqueue_operator_cluster_up",
            "1 while a cluster answers.",
            ["cluster"],
            {(name,): float(known.silence is None) for name, known in self._clusters.known.items()},
        )
        yield counter(
            "rustqueue_operator_kubernetes_calls",
            "Calls to the API server by method and status; 0: no answer.",
            ["method", "status"],
            {(method, str(status)): float(count) for (method, status), count in self._calls.counts.items()},
        )


async def _first(wanted: Any, other: Any) -> bool:
    """Wait for either; True if it was the wanted one. The other is cancelled."""
    tasks = [asyncio.ensure_future(wanted), asyncio.ensure_future(other)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if tasks[0] in done:
        tasks[0].result()
        return True
    return False
