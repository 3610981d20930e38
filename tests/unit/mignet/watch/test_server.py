"""Who is answered, and what: within limits, and with a token where one is demanded."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
import trustme

from mignet.watch import server
from mignet.watch.server import Answer, Listen, ListenError, Page, Server, parsed

TOKEN = "sixteen-characters-and-more"


async def _said() -> Answer:
    return Answer(200, b"said\n")


PAGES = {"/": Page(_said), "/healthz": Page(_said, open=True)}


def asked(listen: Listen, *requests: bytes, end: bool = False) -> list[bytes]:
    """Return the status lines that requests are answered with, each on a connection of its own."""

    async def run() -> list[bytes]:
        found = []
        async with Server(listen, PAGES).serving() as url:
            port = int(url.rstrip("/").rpartition(":")[2])
            for request in requests:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                if end:
                    writer.write_eof()
                found.append((await reader.read()).partition(b"\r\n")[0])
                writer.close()
        return found

    return asyncio.run(run())


def get(path: str = "/", *headers: str, host: str = "127.0.0.1:1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def test_on_loopback_it_answers_under_its_own_names_only() -> None:
    loopback = Listen("127.0.0.1", 0)
    found = asked(
        loopback,
        get(),
        get(host="localhost"),
        get(host="elsewhere.example:80"),
        get("/none"),
        get(method="POST"),
        get(method="HEAD"),
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * server.MOST_REQUEST_BYTES * 2 + b"\r\n\r\n",
    )
    assert [each.split()[1] for each in found] == [b"200", b"200", b"421", b"404", b"405", b"200", b"400", b"400"]


def test_with_a_token_it_is_demanded_and_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    listen = Listen("127.0.0.1", 0, token=path)
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    found = asked(
        listen,
        get(),
        get("/", "Authorization: Bearer wrong"),
        get("/", f"Authorization: Bearer {TOKEN}", host="elsewhere.example"),
        get("/", f"Authorization: Basic {basic}"),
        get("/", "Authorization: Basic %%%"),
        get("/healthz"),
    )
    assert [each.split()[1] for each in found] == [b"401", b"401", b"200", b"200", b"401", b"200"]
    path.write_text("another-one-of-sixteen")
    assert asked(listen, get("/", f"Authorization: Bearer {TOKEN}"))[0].split()[1] == b"401"


def test_who_sends_no_whole_request_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.1)
    assert asked(Listen("127.0.0.1", 0), b"GET / HTTP/1.1\r\nHost:") == [b""]
    assert asked(Listen("127.0.0.1", 0), b"GET", end=True) == [b""]


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:9464"])
def test_others_are_let_in_with_a_token_and_a_certificate_only(address: str, tmp_path: Path) -> None:
    token, other = tmp_path / "token", tmp_path / "x"
    token.write_text(TOKEN)
    for given in ({}, {"token": token}, {"certificate": other, "key": other}):
        options = {"token": None, "certificate": None, "key": None} | given
        with pytest.raises(ListenError, match="lets others in"):
            parsed(address, **options)
    assert not parsed(address, token=token, certificate=other, key=other).loopback


@pytest.mark.parametrize("text", ["", "short", "with a space in it 0123", "ümlaut-of-sixteen-characters"])
def test_what_is_no_token_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(ListenError, match="holds no token"):
        parsed("127.0.0.1:0", token=path, certificate=None, key=None)


def test_a_certificate_that_cannot_be_used_is_refused_in_words(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key")
    (tmp_path / "cert").write_text("no certificate")
    listen = Listen("127.0.0.1", 0, certificate=tmp_path / "cert", key=tmp_path / "key")
    with pytest.raises(ListenError, match="cannot be used"):
        asked(listen)


def test_a_certificate_that_was_rotated_is_shown_to_who_connects_next(tmp_path: Path) -> None:
    authorities = [trustme.CA(), trustme.CA()]
    listen = Listen("127.0.0.1", 0, certificate=tmp_path / "cert", key=tmp_path / "key")

    def store(authority: trustme.CA) -> None:
        made = authority.issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(tmp_path / "key")
        made.cert_chain_pems[0].write_to_path(tmp_path / "cert")

    async def connects(port: int, authority: trustme.CA) -> bool:
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        except ssl.SSLCertVerificationError:
            return False
        writer.write(get("/nowhere"))
        answered = await reader.read()
        writer.close()
        return answered.startswith(b"HTTP/1.1 404")

    async def run() -> None:
        store(authorities[0])
        async with Server(listen, {}).serving() as url:
            port = int(url.rpartition(":")[2].rstrip("/"))
            assert await connects(port, authorities[0])
            store(authorities[1])
            assert not await connects(port, authorities[0])
            assert await connects(port, authorities[1])
            (tmp_path / "cert").write_text("half of a certifi")
            assert await connects(port, authorities[1]), "the one before stays where the new one cannot be used"

    asyncio.run(run())
