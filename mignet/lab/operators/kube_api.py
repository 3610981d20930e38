"""One cluster's API server, as the stand-ins need it: fresh lists, writes under any field manager, and a wake-up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx2

    from mignet.kube.kinds import Kind, Object

MANAGER = "lab-stand-in"
"""The field manager of what no operator of a real cluster would write under its own name."""

WATCH_SECONDS = 300
"""How long the server keeps one watch; then it is asked for another."""

GONE_RETRY = 2.0
"""Seconds until a kind that is not served is asked for again."""


class StaleError(Exception):
    """Somebody was faster: what was read is not what is there. Read again."""


class RefusedError(Exception):
    """The API server refused a write for another reason: the stand-ins, or the definitions, are wrong."""


class Api:
    """The cluster behind a client. Every method raises httpx2.TransportError when it cannot be reached."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        at_least: int | None = None,
    ) -> list[Object]:
        """Return all objects of a kind in `namespace`, or everywhere; none while the kind is not served.

        They are as of the resource version `at_least` or later, when given, which costs no question to etcd.
        """
        params = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else {}
        if at_least is not None:
            params |= {"resourceVersion": str(at_least), "resourceVersionMatch": "NotOlderThan"}
        response = await self._client.get(_path(kind, namespace), params=params)
        if response.status_code == 404:
            return []
        body = _checked(response)
        return [item | {"apiVersion": kind.api_version, "kind": kind.kind} for item in body["items"]]

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None."""
        response = await self._client.get(f"{_path(kind, namespace)}/{name}")
        return None if response.status_code == 404 else _checked(response)

    async def create(self, kind: Kind, item: Object, *, manager: str = MANAGER) -> Object:
        """Create an object. Raises StaleError when it is there already."""
        path = _path(kind, item["metadata"].get("namespace"))
        body = item | {"apiVersion": kind.api_version, "kind": kind.kind}
        return _checked(await self._client.post(path, json=body, params=_params(manager)))

    async def replace(self, kind: Kind, item: Object, *, manager: str = MANAGER, status: bool = False) -> Object:
        """Write an object that was read before, or its status. Raises StaleError when it has changed since."""
        path = f"{_path(kind, item['metadata'].get('namespace'))}/{item['metadata']['name']}"
        path += "/status" if status else ""
        return _checked(await self._client.put(path, json=item, params=_params(manager)))

    async def delete(self, kind: Kind, item: Object) -> Object:
        """Delete an object at once, as a kubelet does that has ended a pod; return what the server says of it.

        Raises StaleError when another one has its name by now; without a uid, whatever has that name is deleted.
        """
        path = f"{_path(kind, item['metadata'].get('namespace'))}/{item['metadata']['name']}"
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": item["metadata"].get("uid")}}
        response = await self._client.request("DELETE", path, json=options)
        return {} if response.status_code == 404 else _checked(response)

    async def changes(self, kind: Kind, namespace: str | None = None) -> AsyncIterator[None]:
        """Yield whenever something of that kind changes, for ever; now and then also when nothing has."""
        import httpx2

        params = {"watch": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        timeout = httpx2.Timeout(20.0, read=WATCH_SECONDS + 30)
        while True:
            async with self._client.stream("GET", _path(kind, namespace), params=params, timeout=timeout) as response:
                if response.is_success:
                    async for _ in response.aiter_lines():
                        yield
            yield
            if not response.is_success:
                await asyncio.sleep(GONE_RETRY)


def _path(kind: Kind, namespace: str | None) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{namespace}/{kind.plural}" if namespace and kind.namespaced else f"{root}/{kind.plural}"


def _params(manager: str) -> dict[str, str]:
    return {"fieldManager": manager, "fieldValidation": "Strict"}


def _checked(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code in {404, 409, 429, 500, 503, 504}:
        # 5xx: a server that starts, or has lost its etcd for a moment.
        raise StaleError(response.text)
    if response.is_error:
        request = response.request
        msg = f"{request.method} {request.url.path}: {response.status_code} {' '.join(response.text.split())}"
        raise RefusedError(msg)
    body: dict[str, Any] = response.json()
    return body
