"""Secrets at rest: what is sealed opens again, only for its purpose, only with a key of the file."""

import base64
import stat
from pathlib import Path

import pytest

from rustqueue.seal import Sealer, SealError, load_sealer, make_key_file

_KEY, _OTHER = bytes(range(32)), bytes(range(32, 64))


def test_what_is_sealed_opens_for_its_purpose_only() -> None:
    sealer = Sealer([_KEY])
    sealed = sealer.seal("webhook secret", b"canary")
    assert b"canary" not in sealed
    assert sealer.open("webhook secret", sealed) == b"canary"
    with pytest.raises(SealError):
        sealer.open("webhook headers", sealed)


def test_equal_texts_seal_alike_and_others_share_no_nonce() -> None:
    sealer = Sealer([_KEY])
    assert sealer.seal("a", b"x") == sealer.seal("a", b"x")
    nonces = {sealer.seal(purpose, text)[5:17] for purpose in ("a", "ax") for text in (b"x", b"", b"xx")}
    assert len(nonces) == 6


def test_a_changed_text_does_not_open() -> None:
    sealer = Sealer([_KEY])
    sealed = sealer.seal("a", b"secret")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes((sealed[place] ^ 1,)) + sealed[place + 1 :]
        with pytest.raises(SealError) as caught:
            sealer.open("a", changed)
        assert "secret" not in str(caught.value)
    with pytest.raises(SealError):
        sealer.open("a", b"")


def test_a_new_key_seals_and_the_one_before_still_opens() -> None:
    # Given a text sealed by a key
    sealed = Sealer([_KEY]).seal("a", b"x")
    # When another key is put in front of it
    both = Sealer([_OTHER, _KEY])
    # Then both texts open, and new ones need the new key
    assert both.open("a", sealed) == b"x"
    assert Sealer([_OTHER]).open("a", both.seal("a", b"y")) == b"y"
    with pytest.raises(SealError, match="no key of the key file"):
        Sealer([_OTHER]).open("a", sealed)


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key_file(str(path))
    made = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    make_key_file(str(path))
    assert path.read_bytes() == made
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
    assert load_sealer(str(path)).open("a", load_sealer(str(path)).seal("a", b"x")) == b"x"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "holds one to 16 lines"),
        (b"c2hvcnQ=\n", "a key of 32 bytes"),
        (b"canary not base64\n", "no base64"),
        (b"\xff\xfe\n", "no base64"),
        (base64.b64encode(_KEY) + b"\ncanary\n", "no base64"),
    ],
)
def test_a_bad_key_file_is_refused_without_telling_what_is_in_it(tmp_path: Path, text: bytes, reason: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(text)
    with pytest.raises(SealError, match=reason) as caught:
        load_sealer(str(path))
    assert "canary" not in str(caught.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SealError, match=r"cannot read the key file .*missing"):
        load_sealer(str(tmp_path / "missing"))
