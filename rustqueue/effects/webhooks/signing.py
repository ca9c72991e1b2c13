"""The signatures of a delivery, both kinds on each (decisions A34).

It must not know who receives it. `X-RustQueue-Signature` is the original's: hex HMAC-SHA256 of the body alone, which
tells nothing about when it was sent. The others follow the Standard Webhooks specification: base64 HMAC-SHA256 of
`id.timestamp.body`, one for each secret that is valid, so that a receiver can change its secret at its leisure.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Final

STANDARD_PREFIX: Final = "whsec_"


def key_of(secret: str) -> bytes:
    """The key of a Standard Webhooks signature: what base64 behind `whsec_` means, else the text's own bytes."""
    if secret.startswith(STANDARD_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def signature_headers(delivery_id: str, timestamp_s: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of one delivery. `secrets` are the present one, then the one before."""
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(timestamp_s)}
    if secrets:
        signed = b"%b.%d.%b" % (delivery_id.encode("ascii"), timestamp_s, body)
        digests = [hmac.digest(key_of(secret), signed, "sha256") for secret in secrets]
        headers["webhook-signature"] = " ".join(f"v1,{base64.b64encode(digest).decode('ascii')}" for digest in digests)
        headers["X-RustQueue-Signature"] = "sha256=" + hmac.digest(secrets[0].encode(), body, "sha256").hex()
    return headers
