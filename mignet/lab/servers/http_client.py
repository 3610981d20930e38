"""A client of one of the lab's servers: plain HTTPS with the lab's own certificates, JSON in and out.

The seeds need what a client library for users hides: the field manager of each write, and writes to a status.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

TIMEOUT = 20.0
"""Seconds for each step of a request: more than a server needs that is just starting on a busy machine."""

READY_TIMEOUT = 2.0
"""Seconds for each step of asking whether a server is ready: somebody else may listen there, and say nothing."""


def connect(port: int, certificates: Path, *, name: str) -> httpx2.Client:
    """Return a client of the server on loopback `port`, with the certificate `name` of the folder `certificates`.

    It trusts that folder's `ca.crt` only. Nothing is sent yet. Raises OSError when a file is missing.
    """
    import httpx2

    return httpx2.Client(**_settings(port, certificates, name))


def connect_async(port: int, certificates: Path, *, name: str) -> httpx2.AsyncClient:
    """Return an asynchronous client of the same server; as `connect`."""
    import httpx2

    return httpx2.AsyncClient(**_settings(port, certificates, name))


def _settings(port: int, certificates: Path, name: str) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    # The environment's proxies are not for loopback.
    return {"base_url": f"https://127.0.0.1:{port}", "verify": context, "timeout": TIMEOUT, "trust_env": False}


def is_ready(client: httpx2.Client, path: str = "/readyz") -> bool:
    """Whether the server answers `path` with 200, within `READY_TIMEOUT`; False also while nobody listens."""
    import httpx2

    try:
        return client.get(path, timeout=READY_TIMEOUT).is_success
    except httpx2.TransportError:
        return False
