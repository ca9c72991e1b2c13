"""Bearer tokens of our own making: their text, and the digest that is kept of them.

A token is `rq_`, its id, and 256 random bits. The id finds the stored digest without a search; the bits are so many
that one SHA-256 is as good as a slow hash. Chance is an argument. It must not know what a token allows.
"""

import base64
import hashlib
import hmac
from typing import Final, NamedTuple

PREFIX: Final = "rq"
ID_BYTES: Final = 8
SECRET_BYTES: Final = 32


class Bearer(NamedTuple):
    """A new token. `text` is for its owner alone, `digest` (hex) for everybody."""

    id: str
    text: str
    digest: str


def made_of(chance: bytes) -> Bearer:
    """The token that `ID_BYTES + SECRET_BYTES` random bytes make."""
    assert len(chance) == ID_BYTES + SECRET_BYTES, "the caller draws them"
    token_id = chance[:ID_BYTES].hex()
    secret = base64.urlsafe_b64encode(chance[ID_BYTES:]).rstrip(b"=").decode("ascii")
    text = f"{PREFIX}_{token_id}_{secret}"
    return Bearer(token_id, text, digest_of(text).hex())


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def id_in(text: str) -> str | None:
    """The id that a text names if it looks like a token of ours."""
    parts = text.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX else None


def is_digest_of(digest: bytes, text: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(digest, digest_of(text))
