"""Signatures: those of the original and those of Standard Webhooks, checked as a receiver would check them."""

import base64
import hashlib
import hmac

from rustqueue.effects.webhooks.signing import key_of, signature_headers

_BODY = b'{"event":"job.completed"}'


def test_an_unsigned_webhook_still_has_an_id_and_a_time() -> None:
    assert signature_headers("d1", 7, _BODY, []) == {"webhook-id": "d1", "webhook-timestamp": "7"}


def test_the_example_of_the_specification_verifies() -> None:
    # Given secret, id, time, payload and signature as the specification's reference libraries test them
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = signature_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, [secret])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_both_secrets_sign_during_rotation() -> None:
    headers = signature_headers("d1", 7, _BODY, ["new", "old"])
    expected = [
        "v1," + base64.b64encode(hmac.new(secret, b"d1.7." + _BODY, hashlib.sha256).digest()).decode()
        for secret in (b"new", b"old")
    ]
    assert headers["webhook-signature"] == " ".join(expected)
    assert headers["X-RustQueue-Signature"] == "sha256=" + hmac.new(b"new", _BODY, hashlib.sha256).hexdigest()


def test_id_time_and_body_are_all_signed() -> None:
    signed = {
        signature_headers(delivery, at, body, ["s"])["webhook-signature"]
        for delivery in ("d1", "d2")
        for at in (7, 8)
        for body in (_BODY, _BODY + b" ")
    }
    assert len(signed) == 8


def test_a_secret_that_only_looks_encoded_is_taken_as_it_is() -> None:
    assert key_of("whsec_%%%") == b"whsec_%%%"
    assert key_of("whsec_AAEC") == b"\0\1\2"
    assert key_of("plain") == b"plain"
