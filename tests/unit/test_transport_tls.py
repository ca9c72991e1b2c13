"""Links under TLS: who is who is what the certificate says, on both sides."""

import asyncio
import datetime
import os
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from rustqueue.raft.messages import Append, LogRecord
from rustqueue.raft.transport import CredentialsError, TlsFiles
from rustqueue.raft.transport.credentials import Credentials
from rustqueue.raft.transport.faults import Faults
from rustqueue.raft.transport.frames import Refusal
from tests.unit.link_rig import (
    Authority,
    Caller,
    Member,
    a_hello,
    a_message,
    introduce,
    lasting_address,
    linked,
    running,
    until,
)

YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another authority, whose certificates look the same."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    return Authority(folder)


async def test_members_with_certificates_of_one_authority_link(authority: Authority) -> None:
    one = Member("n1", tls=authority.files(["n1"]))
    two = Member("n2", tls=authority.files(["rq-2.example", "n2"]))
    large = Append(1, 0, 0, 0, 1, [LogRecord(1, 1, os.urandom(3_000_000))])
    async with linked(one, two):
        assert one.links.send("n2", a_message(1))
        assert one.links.send("n2", large)
        assert two.links.send("n1", a_message(2))
        await until(lambda: len(two.messages) == 2 and len(one.messages) == 1)
        assert two.messages == [("n1", a_message(1)), ("n1", large)]
        assert one.faults == two.faults == {}


async def test_a_peer_that_goes_away_under_tls_is_linked_again(authority: Authority) -> None:
    address = lasting_address()
    one = Member("n1", tls=authority.files(["n1"]))
    two = Member("n2", tls=authority.files(["n2"]), listen=address)
    async with linked(one, two):
        await two.links.close()
        await until(lambda: ("down", "n2") in one.events)
        one.events.clear()
        again = Member("n2", tls=authority.files(["n2"]), listen=address)
        async with running(again):
            await until(lambda: ("up", "n2") in one.events)


async def test_a_certificate_of_another_authority_is_refused_on_both_sides(
    authority: Authority, stranger: Authority
) -> None:
    one, two = Member("n1", tls=authority.files(["n1"])), Member("n2", tls=stranger.files(["n2"]))
    async with running(one, two):
        introduce(one, two)
        await until(lambda: one.faults.get("tls", 0) >= 3 and two.faults.get("tls", 0) >= 3)
        assert one.seen == two.seen == []
        assert one.events == two.events == []


async def test_only_the_dialled_side_knowing_the_authority_is_not_enough(
    authority: Authority, stranger: Authority
) -> None:
    """The dialler would take anybody; the dialled asks for a certificate of its authority."""
    one = Member("n1", tls=authority.files(["n1"]))
    careless = ssl.create_default_context()
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    foreign = stranger.files(["n2"])
    async with running(one):
        for chain in (None, (foreign.cert, foreign.key)):
            if chain is not None:
                careless.load_cert_chain(*chain)
            reader, writer = await asyncio.open_connection("127.0.0.1", one.links.port, ssl=careless)
            caller = Caller(reader, writer)
            caller.send(a_hello("n2"), a_message(1))
            assert await caller.answer() is None
            writer.transport.abort()
        assert one.faults == {"tls": 2}
        assert one.seen == []
        assert one.messages == []


async def test_a_dialler_whose_certificate_is_refused_after_its_handshake_says_so(
    authority: Authority, stranger: Authority
) -> None:
    """Under TLS 1.3 the dialler is done before the other side has looked at its certificate."""
    # Given one that trusts both authorities, and shows the certificate of the one that only it trusts
    one, files = Member("n1", tls=authority.files(["n1"])), stranger.files(["n2"])
    stranger.trusts(files, authority)
    two = Member("n2", tls=files)
    async with running(one, two):
        two.links.set_peers({"n1": one.address})
        await until(lambda: two.faults.get("tls", 0) >= 2)
        assert set(one.faults) == set(two.faults) == {"tls"}
        assert one.seen == []
        assert two.events == []


async def test_tls_below_1_3_is_refused(authority: Authority) -> None:
    one, files = Member("n1", tls=authority.files(["n1"])), authority.files(["n2"])
    old = ssl.create_default_context(cafile=files.ca)
    old.load_cert_chain(files.cert, files.key)
    old.check_hostname, old.maximum_version = False, ssl.TLSVersion.TLSv1_2
    async with running(one):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", one.links.port, ssl=old)
        await until(lambda: one.faults == {"tls": 1})


async def test_an_expired_certificate_is_refused_on_both_sides(authority: Authority) -> None:
    # Given a certificate that was good when its node began, and ends soon after
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=4)
    one = Member("n1", tls=authority.files(["n1"]))
    two = Member("n2", tls=authority.files(["n2"], not_after=soon))
    async with running(one, two):
        await until(lambda: datetime.datetime.now(datetime.UTC) > soon)
        introduce(one, two)
        await until(lambda: one.faults.get("tls", 0) >= 2 and two.faults.get("tls", 0) >= 1)
        assert one.events == two.events == []


@pytest.mark.parametrize(
    ("carried", "claimed"),
    [("n3", "n2"), ("n2", "N2"), ("n2.example", "n2"), ("xn2", "n2"), ("*.example", "n2.example")],
)
async def test_a_member_cannot_go_by_another_name_than_that_of_its_certificate(
    authority: Authority, carried: str, claimed: str
) -> None:
    # Given one with a good certificate of the authority that calls itself otherwise
    one, liar = Member("n1", tls=authority.files(["n1"])), Member(carried, tls=authority.files([carried]))
    liar.hello = a_hello(claimed)
    async with running(one, liar):
        # When each dials the other
        introduce(one, liar)
        # Then it is refused both ways, before the policy is asked
        await until(lambda: one.faults.get("tls", 0) >= 2 and liar.faults.get("refused_by_peer", 0) >= 1)
        assert one.seen == []
        assert one.events == []
        assert ("up", "n1") not in liar.events


async def test_whoever_has_a_wrong_certificate_hears_so(authority: Authority) -> None:
    one, files = Member("n1", tls=authority.files(["n1"])), authority.files(["n3"])
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    context.check_hostname = False
    async with running(one):
        reader, writer = await asyncio.open_connection("127.0.0.1", one.links.port, ssl=context)
        caller = Caller(reader, writer)
        caller.send(a_hello("n2"), a_message(1))
        reason = "the certificate of 'n2' carries n3: issue one with its node_id as a DNS name"
        assert await caller.answer() == Refusal(reason)
        assert await caller.ended()
        writer.transport.abort()
        assert one.messages == []


async def test_plain_to_tls_and_tls_to_plain_come_to_nothing_and_say_why(authority: Authority) -> None:
    one, two = Member("n1", tls=authority.files(["n1"])), Member("n2")
    async with running(one, two):
        introduce(one, two)
        await until(lambda: one.faults.get("plain", 0) >= 1 and two.faults.get("plain", 0) >= 2)
        assert one.seen == two.seen == []
        assert one.events == two.events == []


def test_new_files_are_used_for_new_connections_and_bad_ones_are_not(authority: Authority, stranger: Authority) -> None:
    # Given a clock that is moved by hand
    now_s = 100.0
    faults = Faults(lambda: now_s)
    files = authority.files(["n1"])
    credentials = Credentials(files, "n1", lambda: now_s, faults)
    first = credentials.contexts()
    # When a certificate of the wrong name, of another authority, without its key or cut short is put in place
    for bad in ("name", "authority", "key", "cut", "gone"):
        now_s += 1
        if bad == "name":
            authority.write(files, ["n2"])
        elif bad == "authority":
            Path(files.ca).write_bytes(stranger.pem)
        elif bad == "key":
            authority.write(files, ["n1"])
            Path(files.key).write_bytes(Path(authority.files(["n1"]).key).read_bytes())
        elif bad == "cut":
            Path(files.cert).write_bytes(b"-----BEGIN CERTIFICATE-----\n")
        else:
            os.unlink(files.cert)
        # Then the ones before stay in use, and it is counted once a look at changed files
        assert credentials.contexts() is first
        assert credentials.contexts() is first
    assert faults.counts["credentials"] == 5
    # When a good one comes, it is used, but files are looked at once a second only
    authority.write(files, ["n1"])
    assert credentials.contexts() is first
    now_s += 1
    assert credentials.contexts() is not first
    assert faults.counts["credentials"] == 5


async def test_a_running_member_changes_its_certificate(authority: Authority) -> None:
    one, two = Member("n1", tls=authority.files(["n1"])), Member("n2", tls=authority.files(["n2"]))
    files = authority.files(["n3"], prefix="changing")
    three = Member("n3", tls=files)
    async with linked(one, three):
        serial_before = await served_serial(three, authority)
        # When its certificate is renewed
        authority.write(files, ["n3"])
        # Then its links stay, and within a second new connections get the new one
        async with asyncio.timeout(60):
            while await served_serial(three, authority) == serial_before:
                pass
        one.links.send("n3", a_message(1))
        await until(lambda: len(three.messages) == 1)
        async with running(two):
            introduce(two, three)
            await until(lambda: ("up", "n2") in three.events and ("up", "n3") in two.events)


async def served_serial(member: Member, authority: Authority) -> str:
    files = authority.files(["n9"], prefix="looking")
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    context.check_hostname = False
    _, writer = await asyncio.open_connection("127.0.0.1", member.links.port, ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    return str(certificate["serialNumber"])


def write_encrypted_key(path: str) -> None:
    """A key that nobody can open without a password, as OpenSSL writes it."""
    key = load_pem_private_key(Path(path).read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    Path(path).write_bytes(locked)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda files: os.unlink(files.cert), r"No such file or directory"),
        (lambda files: os.unlink(files.ca), r"No such file or directory"),
        (lambda files: Path(files.ca).write_text("nothing"), r"\.ca: .*(NO_CERTIFICATE|PEM)"),
        (lambda files: Path(files.key).write_text("nothing"), r"\.pem: .*PEM"),
        (lambda files: write_encrypted_key(files.key), r"the key is encrypted"),
    ],
)
def test_files_that_are_no_good_are_said_at_once(
    authority: Authority, damage: Callable[[TlsFiles], object], says: str
) -> None:
    files = authority.files(["n1"])
    damage(files)
    with pytest.raises(CredentialsError, match=says):
        Credentials(files, "n1", lambda: 0.0, Faults(lambda: 0.0))


@pytest.mark.parametrize("names", [["n2"], ["*.n1"], ["n1.example", "xn1"]])
def test_a_certificate_without_the_own_name_is_said_at_once(authority: Authority, names: list[str]) -> None:
    with pytest.raises(CredentialsError, match=r"does not carry the node_id 'n1' as a DNS name; it carries: "):
        Credentials(authority.files(names), "n1", lambda: 0.0, Faults(lambda: 0.0))


def test_a_certificate_that_has_expired_is_said_at_once(authority: Authority) -> None:
    with pytest.raises(CredentialsError, match=r"does not stand the test against .*expired"):
        Credentials(authority.files(["n1"], not_after=YESTERDAY), "n1", lambda: 0.0, Faults(lambda: 0.0))


@pytest.mark.parametrize(
    "story",
    [
        test_members_with_certificates_of_one_authority_link,
        test_a_peer_that_goes_away_under_tls_is_linked_again,
        test_plain_to_tls_and_tls_to_plain_come_to_nothing_and_say_why,
        test_whoever_has_a_wrong_certificate_hears_so,
        test_tls_below_1_3_is_refused,
    ],
    ids=lambda story: story.__name__.removeprefix("test_"),
)
def test_the_same_on_the_loop_that_the_node_runs_on(
    authority: Authority, story: Callable[[Authority], Coroutine[Any, Any, None]]
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story(authority))


@pytest.mark.parametrize(
    "story",
    [
        test_a_certificate_of_another_authority_is_refused_on_both_sides,
        test_only_the_dialled_side_knowing_the_authority_is_not_enough,
        test_a_dialler_whose_certificate_is_refused_after_its_handshake_says_so,
    ],
    ids=lambda story: story.__name__.removeprefix("test_"),
)
def test_strangers_on_the_loop_that_the_node_runs_on(
    authority: Authority, stranger: Authority, story: Callable[[Authority, Authority], Coroutine[Any, Any, None]]
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story(authority, stranger))
