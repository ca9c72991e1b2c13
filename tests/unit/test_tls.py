"""TLS on both ports, with every client; certificates exchanged while the node runs."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from rustqueue.client import AsyncClient, Client, NetworkError, RustQueueError
from rustqueue.model import limits
from rustqueue.node import NodeError
from rustqueue.node.tls import Certificates, CertificateWatch, TlsError
from rustqueue.settings import ServerSettings, TlsFiles, TlsSettings
from tests.unit.certificates import Authority
from tests.unit.gateway_world import ManualClock
from tests.unit.tcp_client import a_node


def server(cert: str, key: str) -> ServerSettings:
    return ServerSettings(host="127.0.0.1", http_port=0, tcp_port=0, tls_cert=cert, tls_key=key)


@pytest.mark.parametrize("scheme", ["https", "tcps"])
async def test_both_ports_and_both_clients_speak_tls(scheme: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with a_node(server=server(*authority.issue("127.0.0.1"))) as node:
        url = f"{scheme}://127.0.0.1:{node.http.port if scheme == 'https' else node.tcp.port}"
        async with AsyncClient(url, ca_file=authority.ca_file) as client:
            pushed = await client.push("q", "n", {"large": "x" * 300_000})

        def blocking() -> list[str]:
            with Client(url, ca_file=authority.ca_file) as client:
                return [job.id for job in client.pull("q", 1)] + [client.health().status]

        assert await asyncio.to_thread(blocking) == [pushed, "healthy"]


@pytest.mark.parametrize("scheme", ["http", "tcp"])
async def test_who_speaks_without_tls_is_told_and_the_log_says_so_once(
    scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hint = "The server closed the connection, without a word: if it speaks TLS, the address begins with https:// or tcps://"
    files = Authority(tmp_path).issue("127.0.0.1")
    async with a_node(server=server(*files)) as node:
        url = f"{scheme}://127.0.0.1:{node.http.port if scheme == 'http' else node.tcp.port}"

        def blocking() -> str:
            # Without a key a push is not sent again once it may have arrived, so the first error is told.
            with Client(url, idempotency="off") as client, pytest.raises(NetworkError) as caught:
                client.push("q", "n", {})
            return caught.value.message

        assert await asyncio.to_thread(blocking) == hint
        async with AsyncClient(url, idempotency="off") as client:
            with pytest.raises(NetworkError) as caught:
                await client.push("q", "n", {})
        assert caught.value.message == hint
    said = [record for record in caplog.records if record.message == "a client spoke without TLS"]
    assert [vars(record)["file"] for record in said] == [files.cert]


async def test_who_speaks_tls_to_a_plain_port_is_told_at_once(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with a_node() as node:
        url = f"https://127.0.0.1:{node.http.port}"
        text = f"127.0.0.1:{node.http.port} does not speak TLS: the address begins with http:// or tcp://"

        def blocking() -> RustQueueError:
            with Client(url, ca_file=authority.ca_file) as client, pytest.raises(RustQueueError) as caught:
                client.health()
            return caught.value

        error = await asyncio.to_thread(blocking)
        assert (error.code, error.message, error.passing) == ("TLS_ERROR", text, False)
        async with AsyncClient(url, ca_file=authority.ca_file) as client:
            with pytest.raises(RustQueueError) as caught:
                await client.health()
        assert caught.value.message == text


IS_HTTP = "The answer is HTTP: is this the HTTP port? Say http://"
IS_LINES = "The answer is not HTTP but a line: is this the TCP port? Say tcp://"


@pytest.mark.parametrize("token", [None, "secret"])
@pytest.mark.parametrize(("scheme", "text"), [("tcp", IS_HTTP), ("http", IS_LINES)])
async def test_who_takes_one_port_for_the_other_is_told_at_once(scheme: str, text: str, token: str | None) -> None:
    async with a_node() as node:
        url = f"{scheme}://127.0.0.1:{node.http.port if scheme == 'tcp' else node.tcp.port}"

        def blocking() -> NetworkError:
            with Client(url, token=token) as client, pytest.raises(NetworkError) as caught:
                client.push("q", "n", {})
            return caught.value

        async with AsyncClient(url, token=token) as client:
            with pytest.raises(NetworkError) as caught:
                await client.push("q", "n", {})
        for error in (caught.value, await asyncio.to_thread(blocking)):
            # Nothing is sent again, since the same port would say the same.
            assert (error.code, error.message, error.sent, error.passing) == ("WRONG_PORT", text, False, False)


async def test_events_asked_of_the_tcp_port_end_at_once() -> None:
    async with a_node() as node:
        url = f"http://127.0.0.1:{node.tcp.port}"

        def blocking() -> str:
            with Client(url) as client, pytest.raises(NetworkError) as caught:
                next(client.subscribe())
            return caught.value.message

        async with AsyncClient(url) as client:
            with pytest.raises(NetworkError) as caught:
                await anext(client.subscribe())
        assert (caught.value.message, await asyncio.to_thread(blocking)) == (IS_LINES, IS_LINES)


async def test_events_come_over_tls_and_from_nobody_else(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    async with a_node(server=server(*authority.issue("127.0.0.1"))) as node:
        url = f"https://127.0.0.1:{node.http.port}"
        async with AsyncClient(url, ca_file=authority.ca_file) as client:
            pushed = await client.push("q", "n", {})
            told = client.subscribe(after="0", events=["job.pushed"])
            assert (await anext(told)).job_id == pushed
            await told.aclose()

        def blocking(ca_file: str) -> str:
            with Client(url, ca_file=ca_file) as client:
                told = client.subscribe(after="0")
                heard = next(told).event
                told.close()
                return heard

        assert await asyncio.to_thread(blocking, authority.ca_file) == "job.pushed"
        with pytest.raises(RustQueueError, match="TLS_ERROR"):
            await asyncio.to_thread(blocking, stranger.ca_file)


@pytest.mark.parametrize("scheme", ["https", "tcps"])
async def test_a_certificate_that_is_not_trusted_is_refused_at_once(scheme: str, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    async with a_node(server=server(*authority.issue("node.example"))) as node:
        url = f"{scheme}://127.0.0.1:{node.http.port if scheme == 'https' else node.tcp.port}"
        for ca_file in (stranger.ca_file, authority.ca_file, None):
            # By a stranger, for another name, by nobody that the system knows.
            async with AsyncClient(url, ca_file=ca_file) as client:
                with pytest.raises(RustQueueError, match="TLS_ERROR"):
                    await client.health()
            with Client(url, ca_file=ca_file) as other, pytest.raises(RustQueueError, match="TLS_ERROR"):
                await asyncio.to_thread(other.health)


async def test_plain_words_to_a_tls_port_get_no_answer(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with a_node(server=server(*authority.issue("127.0.0.1"))) as node:
        for port in (node.http.port, node.tcp.port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b'{"cmd":"health"}\n')
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(reader.readuntil(b"\n"), 60)
            writer.close()
        with Client(f"http://127.0.0.1:{node.http.port}", timeout_s=2.0) as client, pytest.raises(NetworkError):
            await asyncio.to_thread(client.health)


async def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with a_node(server=server(*authority.issue("127.0.0.1"))) as node:
        versions = []
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=authority.ca_file)
            context.minimum_version = context.maximum_version = version
            _, writer = await asyncio.open_connection("127.0.0.1", node.tcp.port, ssl=context)
            versions.append(writer.get_extra_info("ssl_object").version())
            writer.close()
        assert versions == ["TLSv1.2", "TLSv1.3"]
    assert Certificates(TlsFiles(*authority.issue("x"))).context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_the_section_of_the_original_is_about_tcp_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("127.0.0.1")
    async with a_node(tls=TlsSettings(enabled=True, cert_path=cert, key_path=key)) as node:
        async with AsyncClient(f"tcps://127.0.0.1:{node.tcp.port}", ca_file=authority.ca_file) as client:
            assert (await client.health()).status == "healthy"
        async with AsyncClient(f"http://127.0.0.1:{node.http.port}") as client:
            assert (await client.health()).status == "healthy"


async def serial_of(port: int, authority: Authority) -> Any:
    """Which certificate a new connection is shown."""
    context = ssl.create_default_context(cafile=authority.ca_file)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    writer.close()
    return shown


def replaced_by_half(authority: Authority, files: TlsFiles) -> bytes:
    """A new certificate with the old key; returns the key that belongs to it."""
    key = Path(files.key).read_bytes()
    authority.issue("127.0.0.1")
    new_key = Path(files.key).read_bytes()
    write(files.key, key)
    return new_key


def write(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)


async def test_a_new_certificate_is_in_force_without_a_restart(tmp_path: Path) -> None:
    # Given a listener and a client that is connected to it
    authority, clock = Authority(tmp_path), ManualClock()
    files = TlsFiles(*authority.issue("127.0.0.1"))
    watch = CertificateWatch(clock)
    context = watch.context_of(files)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context) as listener:
        port = listener.sockets[0].getsockname()[1]
        trusted = ssl.create_default_context(cafile=authority.ca_file)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        first = await serial_of(port, authority)
        # When its files are replaced, by half first
        new_key = replaced_by_half(authority, files)
        clock.pass_ms(limits.TLS_CHECK_MS)
        # Then what cannot be used changes nothing
        assert await serial_of(port, authority) == first
        write(files.key, new_key)
        clock.pass_ms(limits.TLS_CHECK_MS)
        # Then new connections see the new one, and the old connection goes on
        assert await serial_of(port, authority) != first
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        writer.close()
    watch.stop()
    assert clock.timers_count == 0


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.issue("a"), authority.issue("b", file="other")
    with pytest.raises(TlsError, match="KEY_VALUES_MISMATCH"):
        Certificates(TlsFiles(pair.cert, other.key))
    with pytest.raises(TlsError, match=r"cannot read .*none\.crt"):
        Certificates(TlsFiles(str(tmp_path / "none.crt"), pair.key))


async def test_a_node_with_a_bad_certificate_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("no certificate")
    with pytest.raises(NodeError, match="bad"):
        async with a_node(server=server(str(tmp_path / "bad"), str(tmp_path / "bad"))):
            raise AssertionError("it has started")


async def test_a_node_with_tls_stops_with_clients_connected(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=authority.ca_file)
    async with a_node(server=server(*authority.issue("127.0.0.1"))) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.tcp.port, ssl=context)
        writer.write(b'{"cmd":"pull","queue":"q","wait_ms":60000}\n')
        writer.write(b'{"cmd":"health","request_id":1}\n')
        assert b'"request_id":1' in await reader.readline()
        assert await node.stop(5)
    assert b'"job":null' in await reader.read()
    writer.close()
