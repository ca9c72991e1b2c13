"""Secrets at rest: sealed by a key that is in no state, log, snapshot or backup (design 4.15).

It must not know what a secret is for. A sealed text is `1 byte format, 4 bytes which key, 12 bytes nonce, AES-256-GCM`.
Invariants: a sealed text opens only for the purpose that it was sealed for; the nonce comes from the text by a second
key, so that equal secrets of one purpose seal alike (a repeated request is the same command) and two different ones
never share a nonce; no error repeats a secret or a key.

A key file holds one key a line, 32 bytes in base64: the first seals, all of them open, so a key can be changed by
putting a new one in front.
"""

import base64
import binascii
import hmac
import os
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT: Final = b"\x01"
_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(_FORMAT) + _KEY_ID_BYTES + _NONCE_BYTES
KEYS_MAX: Final = 16


class SealError(Exception):
    """A key file that cannot be used, or a sealed text that no key opens."""


class _Key:
    def __init__(self, key: bytes) -> None:
        self.id = hmac.digest(key, b"rustqueue key id", "sha256")[:_KEY_ID_BYTES]
        self.cipher = AESGCM(hmac.digest(key, b"rustqueue seal", "sha256"))
        self.nonce_key = hmac.digest(key, b"rustqueue nonce", "sha256")


class Sealer:
    """Seals with the first key, opens with all."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise SealError(f"a key file holds one to {KEYS_MAX} lines, each a key of {_KEY_BYTES} bytes in base64")
        self._keys = [_Key(key) for key in keys]

    def seal(self, purpose: str, text: bytes) -> bytes:
        """What may be logged and stored instead of `text`."""
        key = self._keys[0]
        about = purpose.encode()
        nonce = hmac.digest(key.nonce_key, b"%d %b %b" % (len(about), about, text), "sha256")[:_NONCE_BYTES]
        return b"".join((_FORMAT, key.id, nonce, key.cipher.encrypt(nonce, text, about)))

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """The text again. Raises `SealError` if no key opens it, or it was sealed for something else."""
        nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
        for key in self._keys:
            if sealed[: _HEAD_BYTES - _NONCE_BYTES] != _FORMAT + key.id:
                continue
            try:
                return key.cipher.decrypt(nonce, sealed[_HEAD_BYTES:], purpose.encode())
            except (InvalidTag, ValueError):
                raise SealError("a sealed text was changed, or sealed for something else") from None
        raise SealError("no key of the key file opens a sealed text: put the key that sealed it back behind the first")


def load_sealer(path: str) -> Sealer:
    """The keys of a file. Raises `SealError` saying what is wrong with it, never what is in it."""
    try:
        with open(path, encoding="ascii") as file:
            lines = [line.strip() for line in file.read(65_536).splitlines() if line.strip()]
        return Sealer([base64.b64decode(line, validate=True) for line in lines[: KEYS_MAX + 1]])
    except OSError as error:
        raise SealError(f"cannot read the key file {path}: {error.strerror}") from error
    except (binascii.Error, ValueError) as error:
        raise SealError(f"the key file {path} holds a line that is no base64") from error
    except SealError as error:
        raise SealError(f"the key file {path}: {error}") from error


def make_key_file(path: str) -> None:
    """Make a file with one new key, readable by this user only. An existing one is left as it is."""
    temporary = f"{path}.{secrets.token_hex(4)}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: a file that another process made meanwhile must not be replaced.
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.unlink(temporary)
