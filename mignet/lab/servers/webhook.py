"""The lab's process that converts HyperConvergeds: `python -m mignet.lab.servers.webhook PORT CERTIFICATES GATES`.

It listens on loopback, with TLS. The API servers show no certificate, as they show none to the real one: what it
answers them follows from what they ask. GATES is a JSON object of the release's feature gates and their defaults.
"""

from __future__ import annotations

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mignet.lab.seeding.conversion import answer

PATH = "/convert"

LARGEST = 16 * 1024 * 1024
"""Bytes of a request, at most: more than a list of HyperConvergeds has that an API server sends at once."""


class Server(ThreadingHTTPServer):
    """Answers for as long as it runs. Raises OSError when somebody has the port."""

    daemon_threads = True

    def __init__(self, port: int, certificates: Path, gates: dict[str, bool]) -> None:
        self.gates = gates
        super().__init__(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
        context.load_verify_locations(certificates / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        # A client that says nothing must not keep the others waiting: its own thread does the handshake.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection of an API server, or of the lab that asks whether all is ready."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        """Answer the lab's question."""
        self._answer(200 if self.connection.getpeercert() else 401, b"ok")

    def do_POST(self) -> None:
        """Convert what an API server sends."""
        size = int(self.headers.get("Content-Length") or 0)
        if self.path.partition("?")[0] != PATH or size > LARGEST:
            self.close_connection = True
            self._answer(404 if size <= LARGEST else 413, b"")
            return
        try:
            body = json.dumps(answer(json.loads(self.rfile.read(size)), self.server.gates)).encode()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._answer(400, f"not a ConversionReview: {error!r}".encode())
            return
        self._answer(200, body)

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Log nothing: the API servers ask all the time."""


if __name__ == "__main__":
    print("converts HyperConvergeds between v1 and v1beta1", flush=True)  # noqa: T201
    Server(int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])).serve_forever()
