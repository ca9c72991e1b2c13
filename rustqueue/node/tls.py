"""Certificates of the listening ports, exchanged while the node runs.

It must not know what travels inside. Invariants: nothing older than TLS 1.2 is spoken; new files are in force for new
connections after `limits.TLS_CHECK_MS`, without a restart and without cutting anybody off; files that cannot be used
leave the old ones in force and say so in the log.
"""

import logging
import os
import ssl
from collections.abc import Callable
from typing import Final

from rustqueue.model import limits
from rustqueue.raft.ports import Clock
from rustqueue.settings import TlsFiles

log: Final = logging.getLogger("rustqueue.tls")

_PLAIN_REASONS: Final = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER"})
"""How OpenSSL calls what begins like HTTP, and what does not begin like TLS."""

_Seen = tuple[tuple[int, int, int], ...]


class TlsError(Exception):
    """A certificate cannot be used. The message names the files."""


class Certificates:
    """One pair of files and the context that listeners are given; the context stays the same for ever."""

    def __init__(self, files: TlsFiles, protocols: tuple[str, ...] = ()) -> None:
        """Raises `TlsError`."""
        self._files = files
        self._protocols = protocols
        self._noticing = _noticing(files.cert)
        self._seen = self._look()
        self.context = self._made()

    def reload(self) -> bool:
        """Take the files anew if they have changed; false if they have not, or cannot be used."""
        try:
            seen = self._look()
            if seen == self._seen:
                return False
            self._seen = seen
            # Tried out first: a chain without its key would leave the context of the listener half changed.
            self._made()
            self.context.load_cert_chain(self._files.cert, self._files.key)
        except (TlsError, OSError) as error:
            log.error("new certificate cannot be used, the old one stays", extra={"reason": str(error)})
            return False
        log.info("certificate exchanged", extra={"file": self._files.cert})
        return True

    def _look(self) -> _Seen:
        """What tells a file from the one before it. Links are followed: Kubernetes exchanges a link."""
        try:
            found = [os.stat(path) for path in self._files]
        except OSError as error:
            raise TlsError(f"cannot read the certificate or key {error.filename}: {error.strerror}") from error
        return tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in found)

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        # Tickets let a client resume a session that began under a certificate that is no longer in force.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        context.sslobject_class = self._noticing
        if self._protocols:
            context.set_alpn_protocols(list(self._protocols))
        try:
            context.load_cert_chain(self._files.cert, self._files.key)
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            raise TlsError(f"{self._files.cert} with key {self._files.key}: {reason}") from error
        except OSError as error:
            raise TlsError(f"cannot read {self._files.cert} or {self._files.key}: {error.strerror}") from error
        return context


def _noticing(cert: str) -> type[ssl.SSLObject]:
    """The class of a listener's connections: it says in the log, once, that somebody speaks to it without TLS.

    Such a client is cut off before anything of ours hears of it, and is told nothing: this line is all that there is.
    """
    told = False

    class Noticing(ssl.SSLObject):
        def do_handshake(self) -> None:
            nonlocal told
            try:
                super().do_handshake()
            except ssl.SSLError as error:
                if not told and error.reason in _PLAIN_REASONS:
                    told = True
                    hint = "clients of this port say https:// or tcps://"
                    log.warning("a client spoke without TLS", extra={"file": cert, "hint": hint})
                raise

    return Noticing


class CertificateWatch:
    """Looks at the files of all listeners from time to time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: list[Certificates] = []
        self._stop_timer: Callable[[], None] | None = None

    def context_of(self, files: TlsFiles | None, protocols: tuple[str, ...] = ()) -> ssl.SSLContext | None:
        """The context for a listener, None without files. Raises `TlsError`."""
        if files is None:
            return None
        certificates = Certificates(files, protocols)
        self._watched.append(certificates)
        if self._stop_timer is None:
            self._look_later()
        return certificates.context

    def stop(self) -> None:
        if self._stop_timer is not None:
            self._stop_timer()
            self._stop_timer = None

    def _look_later(self) -> None:
        self._stop_timer = self._clock.call_later(limits.TLS_CHECK_MS, self._look)

    def _look(self) -> None:
        for certificates in self._watched:
            certificates.reload()
        self._look_later()
