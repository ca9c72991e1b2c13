"""Who a node is under TLS: its certificate, its key, and the authority that vouches for all members.

It must not know peers or policies. Invariants: TLS 1.3 only, both sides show a certificate; files that changed are used
for new connections only if this node could talk to itself with them, otherwise the ones before stay; names are compared
as whole texts, so no wildcard stands for a node.
"""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rustqueue.raft.transport.faults import Faults

_LOOK_S: Final = 1.0  # Files are looked at no more often than this.
_HANDSHAKE_TURNS: Final = 10  # Flights of a handshake in memory; TLS 1.3 needs three.

Signature = tuple[tuple[int, int, int], ...]


class CredentialsError(Exception):
    """The files cannot be used. The message says which and why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `cert` may hold the chain behind it, `ca` several authorities (for the time of a change)."""

    cert: str
    key: str
    ca: str


@dataclass(frozen=True, slots=True)
class Contexts:
    dialling: ssl.SSLContext
    accepting: ssl.SSLContext


class Credentials:
    """The contexts for the next connection. Raises `CredentialsError` when the first files are no good."""

    def __init__(self, files: TlsFiles, node: str, monotonic_s: Callable[[], float], faults: Faults) -> None:
        self._files = files
        self._node = node
        self._monotonic_s = monotonic_s
        self._faults = faults
        self._looked_s = monotonic_s()
        self._signature = _signature(files)
        self._contexts = _checked(files, node)

    def contexts(self) -> Contexts:
        now_s = self._monotonic_s()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._look()
        return self._contexts

    def _look(self) -> None:
        try:
            signature = _signature(self._files)
            if signature != self._signature:
                # Taken before the files are read: should they change meanwhile, the next look sees another one.
                self._signature = signature
                self._contexts = _checked(self._files, self._node)
        except CredentialsError as error:
            self._faults.note("credentials", error)


def dns_names(certificate: dict[str, Any] | None) -> frozenset[str]:
    """The names that a verified certificate carries."""
    names = (certificate or {}).get("subjectAltName", ())
    return frozenset(value for kind, value in names if kind == "DNS")


def _signature(files: TlsFiles) -> Signature:
    try:
        found = [os.stat(path) for path in (files.cert, files.key, files.ca)]
    except OSError as error:
        raise CredentialsError(f"{error.filename}: {error.strerror}") from error
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)


def _checked(files: TlsFiles, node: str) -> Contexts:
    """Contexts that were tried: the node shakes hands with itself, in memory."""
    contexts = Contexts(
        dialling=_context(files, ssl.PROTOCOL_TLS_CLIENT), accepting=_context(files, ssl.PROTOCOL_TLS_SERVER)
    )
    try:
        names = _names_seen(contexts)
    except ssl.SSLError as error:
        raise CredentialsError(f"{files.cert} does not stand the test against {files.ca}: {error}") from error
    if node not in names:
        found = ", ".join(sorted(names)) or "none"
        raise CredentialsError(f"{files.cert} does not carry the node_id '{node}' as a DNS name; it carries: {found}")
    return contexts


def _context(files: TlsFiles, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The name to find is a node id and not the host that was dialled; the greeting compares it, on both sides alike.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # Nothing may be resumed with a certificate that is not looked at again.
    path = files.ca
    try:
        context.load_verify_locations(files.ca)
        path = files.cert
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise CredentialsError(f"{path}: {error}") from error
    return context


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted, and there is nobody to ask for its password")


def _names_seen(contexts: Contexts) -> frozenset[str]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts.dialling.wrap_bio(to_client, to_server, server_side=False)
    server = contexts.accepting.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(_HANDSHAKE_TURNS):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return dns_names(client.getpeercert())
    raise ssl.SSLError("the handshake does not come to an end")
