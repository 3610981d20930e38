"""Serve what a watch knows over HTTP: /metrics, /healthz, and the report page at /. It takes GET, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import ipaddress
import json
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

from config.finding import UserError, visible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

REQUEST_SECONDS = 5.0
"""In which a whole request has to come."""
ANSWER_SECONDS = 60.0
"""In which an answer has to be made, and taken."""
MOST_REQUEST_BYTES = 16 << 10
MOST_CONNECTIONS = 64
MOST_TOKEN_BYTES = 4096
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Connection", "close"),
)
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}


class ListenError(UserError):
    """The address cannot be listened on, or not so."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen, and what is demanded there. A port of 0 takes a free one."""

    host: str
    port: int
    token: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback


def parsed(address: str, *, token: Path | None, certificate: Path | None, key: Path | None) -> Listen:
    """Read ADDRESS:PORT. Raises ListenError where it is none, or where others would be let in without a token and TLS.

    >>> parsed("[::1]:9464", token=None, certificate=None, key=None).host
    '::1'
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        number = int(port)
        valid = bool(colon) and 0 <= number <= 65535 and (host == "localhost" or bool(ipaddress.ip_address(host)))
    except ValueError:
        valid = False
    if not valid:
        msg = f"--listen {visible(address)} is not ADDRESS:PORT; write it as 127.0.0.1:9464, [::1]:9464 or 0.0.0.0:9464"
        raise ListenError(msg)
    if bool(certificate) != bool(key):
        msg = "--tls-cert and --tls-key belong together; give both"
        raise ListenError(msg)
    found = Listen(host, number, token, certificate, key)
    if not found.loopback and not (token and certificate):
        msg = f"--listen {address} lets others in: it demands --token-file, --tls-cert and --tls-key; or listen on"
        raise ListenError(f"{msg} 127.0.0.1")
    if token is not None:
        secret(token)
    return found


def secret(path: Path) -> str:
    """Return the token that a file holds. Raises ListenError where it holds none."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_TOKEN_BYTES + 1).decode("ascii").strip()
    except OSError as error:
        msg = f"--token-file {path} cannot be read: {error.strerror}"
        raise ListenError(msg) from None
    except UnicodeDecodeError:
        text = ""
    if not 16 <= len(text) <= MOST_TOKEN_BYTES or not text.isprintable() or " " in text:
        msg = f"--token-file {path} holds no token: write one line of 16 characters of ASCII at least"
        raise ListenError(msg)
    return text


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a request."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One path: who makes its answer, and whether everybody may ask, as a kubelet does."""

    answer: Callable[[], Awaitable[Answer]]
    open: bool = False


class Server:
    """Answers requests for some paths."""

    def __init__(self, listen: Listen, pages: Mapping[str, Page]) -> None:
        self._listen, self._pages = listen, pages
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._certificate: tuple[object, ...] = ()
        self._tls: ssl.SSLContext | None = None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve meanwhile; yields the URL. Raises ListenError."""
        listen = self._listen
        try:
            if listen.certificate and listen.key:
                self._renew()
            server = await asyncio.start_server(
                self._connected,
                listen.host,
                listen.port,
                ssl=self._tls,
                limit=MOST_REQUEST_BYTES,
                ssl_handshake_timeout=REQUEST_SECONDS if self._tls else None,
            )
        except ssl.SSLError:
            msg = "--tls-cert and --tls-key cannot be used: not PEM, or they do not belong together"
            raise ListenError(msg) from None
        except OSError as error:
            msg = f"--listen {listen.host}:{listen.port} cannot be used: {error.strerror or error}"
            raise ListenError(msg) from None
        async with server:
            port = server.sockets[0].getsockname()[1]
            host = f"[{listen.host}]" if ":" in listen.host else listen.host
            yield f"{'https' if self._tls else 'http'}://{host}:{port}/"

    def _greeted(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Show who connects the certificate as it is by now; the one before where that cannot be used."""
        with contextlib.suppress(OSError, ssl.SSLError):
            self._renew()
        if self._tls is not None:
            connection.context = self._tls

    def _renew(self) -> None:
        """Read the certificate where its files are other ones by now. Raises OSError and ssl.SSLError."""
        files = [str(each) for each in (self._listen.certificate, self._listen.key) if each]
        stamp = tuple((each.st_mtime_ns, each.st_ino) for each in map(os.stat, files))
        if stamp != self._certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*files)
            context.sni_callback = self._greeted
            self._certificate, self._tls = stamp, context

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._room.locked():
                return
            async with self._room:
                await self._answer(reader, writer)
        except (OSError, TimeoutError, ssl.SSLError):
            pass
        finally:
            # Not closed, which waits for the other side: it may never take what it asked for.
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_REQUEST_BYTES)
        async with asyncio.timeout(REQUEST_SECONDS):
            request = await _request(connection, reader)
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await self._answered(request)
            length = ("Content-Length", str(len(answer.body)))
            headers = [("Content-Type", answer.kind), length, *_HEADERS, *answer.more]
            # What was asked for stays in h11's hands; where nothing was, an error may still be said.
            parts = [
                connection.send(h11.Response(status_code=answer.status, headers=headers)),
                connection.send(h11.Data(data=answer.body)) if not request or request.method != b"HEAD" else b"",
            ]
            writer.write(b"".join(each for each in parts if each))
            await writer.drain()

    async def _answered(self, request: h11.Request | None) -> Answer:
        if request is None:
            return Answer(400, b"not a request\n")
        if request.method not in {b"GET", b"HEAD"}:
            return Answer(405, b"only GET\n", more=(("Allow", "GET, HEAD"),))
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in request.headers}
        page = self._pages.get(request.target.decode("latin-1").partition("?")[0])
        if page is None:
            return Answer(404, b"not here: /, /metrics and /healthz are\n")
        if not page.open and self._listen.token is not None and not self._known(headers.get("authorization", "")):
            asks = (("WWW-Authenticate", 'Bearer, Basic realm="mignet watch"'),)
            return Answer(401, b"a token is needed\n", more=asks)
        if self._listen.token is None and _host(headers.get("host", "")) not in _LOOPBACK:
            # A page of elsewhere whose name leads here may be in a browser of this machine.
            return Answer(421, b"not served under that name\n")
        return await page.answer()

    def _known(self, authorization: str) -> bool:
        """Tell whether a request carries the token: as a bearer's, or as a password, which a browser asks for."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif scheme.lower() != "bearer":
            return False
        try:
            # Read anew, as it may be another one by now.
            wanted = secret(self._listen.token) if self._listen.token else ""
        except ListenError:
            return False
        return bool(wanted) and hmac.compare_digest(given.strip().encode(), wanted.encode())


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """Return the request that comes; None for what is none. Raises TimeoutError and OSError."""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            chunk = await reader.read(4096)
            if not chunk:
                raise ConnectionError
            connection.receive_data(chunk)
    except h11.RemoteProtocolError:
        return None


def _host(header: str) -> str:
    return header if header.endswith("]") else header.rpartition(":")[0] or header


def as_json(status: int, value: object) -> Answer:
    """Return an answer with a value as JSON."""
    return Answer(status, (json.dumps(value) + "\n").encode(), "application/json")
