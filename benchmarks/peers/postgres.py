"""PostgreSQL with the second system's two statements: take one job with SKIP LOCKED, then mark it as succeeded.

Default settings, so fsync and synchronous commit are on. The load is pgbench, a C program, with prepared statements:
the client costs the database less here than ours costs the node.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import LoadFailed
from benchmarks.peers import PeerMissing, find_program
from benchmarks.processes import Process, StartFailed, accepts, spawn
from benchmarks.servers import Server, Starter
from rustqueue.demo.ports import free_port

INSTALLED = Path("/usr/lib/postgresql")
ACCOUNT = "postgres"

SCHEMA = """
drop table if exists jobs;
drop type if exists job_status;
create type job_status as enum ('queued', 'running', 'succeeded', 'retrying', 'failed_permanent', 'cancelled');
create table jobs (
    id uuid primary key default gen_random_uuid(),
    kind text not null,
    payload jsonb not null,
    status job_status not null default 'queued',
    attempts int not null default 0 check (attempts >= 0),
    max_attempts int not null default 3 check (max_attempts >= 1),
    last_error text,
    run_at timestamptz not null default clock_timestamp(),
    locked_at timestamptz,
    locked_by text,
    cancel_requested boolean not null default false,
    idempotency_key text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    check (attempts <= max_attempts)
);
create index on jobs (run_at) where status in ('queued', 'retrying');
create unique index on jobs (idempotency_key) where idempotency_key is not null;
create index on jobs (status);
create index on jobs (created_at desc);
insert into jobs (kind, payload) select 'summarize_text', '{{"text": "lorem"}}' from generate_series(1, {jobs});
vacuum analyze jobs;
checkpoint;
"""

TWO_STATEMENTS = """\
update jobs set status = 'running', attempts = attempts + 1, locked_at = now(), locked_by = 'bench', updated_at = now()
where id = (
    select id from jobs
    where status in ('queued', 'retrying') and run_at <= now() and not cancel_requested
    order by run_at limit 1 for update skip locked
)
returning id as job_id, attempts as attempt \\gset
update jobs set status = 'succeeded', locked_at = null, locked_by = null, updated_at = now()
where id = :job_id::uuid and status = 'running';
"""

_RATE = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")


def _programs() -> Path:
    versions = sorted(INSTALLED.glob("*/bin"), key=lambda folder: int(folder.parent.name)) if INSTALLED.is_dir() else []
    for folder in reversed(versions):
        if all((folder / name).is_file() for name in ("postgres", "initdb", "pgbench", "psql")):
            return folder
    return find_program("postgres").resolve().parent


class Database:
    """A running PostgreSQL."""

    def __init__(self, server: Server, programs: Path, folder: Path) -> None:
        self.server = server
        self._programs = programs
        self._script = folder / "two_statements.sql"
        self._script.write_text(TWO_STATEMENTS)
        self._where = ["-h", "127.0.0.1", "-p", str(server.tcp_port), "-U", ACCOUNT]

    def dequeue_and_succeed(self, workers: int, jobs: int) -> float:
        """Jobs per second on a fresh table with this many jobs, each worker doing its share."""
        # A worker may find only rows that others hold at the very end; a few spare ones keep pgbench from failing.
        seed = SCHEMA.format(jobs=jobs + 4 * workers)
        self._run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-", text=seed)
        threads = str(min(workers, os.cpu_count() or 1))
        how = ["-n", "-M", "prepared", "-c", str(workers), "-j", threads, "-t", str(jobs // workers)]
        told = self._run("pgbench", *how, "-f", str(self._script), "postgres")
        rate = _RATE.search(told)
        if rate is None:
            raise LoadFailed(f"pgbench said no rate: {told[-400:]}")
        return float(rate[1])

    def _run(self, program: str, *words: str, text: str | None = None) -> str:
        command = [str(self._programs / program), *self._where, *words]
        ran = subprocess.run(command, input=text, capture_output=True, text=True, timeout=600, check=False)
        if ran.returncode:
            raise LoadFailed(f"{program} failed: {ran.stderr[-600:]}")
        return ran.stdout


@contextlib.contextmanager
def running(starter: Starter) -> Iterator[Database]:
    """One server on a fresh cluster folder."""
    programs, folder, port = _programs(), starter.fresh_folder("postgresql"), free_port()
    data, account = folder / "data", None
    if os.geteuid() == 0:
        # The server refuses to run as root, so its own account must be able to reach and own the folder.
        account = ACCOUNT
        folder.parent.chmod(0o711)
        shutil.chown(folder, ACCOUNT)
    process: Process | None = None
    try:
        initdb = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", ACCOUNT]
        subprocess.run(initdb, user=account, cwd=folder, capture_output=True, timeout=300, check=True)
        command: list[str | Path] = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        process = spawn(command, folder, account=account)
        process.wait_until(lambda: accepts(port))
        yield Database(Server("postgresql", port, 0, (process.pid,)), programs, folder)
    except (StartFailed, subprocess.SubprocessError) as error:
        raise PeerMissing(f"PostgreSQL did not start: {error}") from error
    finally:
        if process is not None:
            process.stop(signal.SIGINT)  # Its fast shutdown: SIGTERM would wait for clients.
        shutil.rmtree(folder, ignore_errors=True)
