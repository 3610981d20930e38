"""The one door to a cluster's API server. Objects go in and come out as plain dicts."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from sys import intern
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import httpx2
import msgspec
from lightkube import ApiError, AsyncClient
from lightkube.core.exceptions import ConfigError as KubeConfigError
from lightkube.core.resource import GlobalResource, NamespacedResourceG
from lightkube.core.selector import build_selector
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.models.meta_v1 import Status
from lightkube.types import CascadeType

from components.ownership import FIELD_MANAGER
from config.finding import UserError, visible
from mignet.kube import kubeconfig
from mignet.kube.credentials import (
    FAILURES,
    expired,
    in_memory,
    trusts_the_public,
    unreadable,
    unusable,
    without_user,
)
from mignet.kube.hyperconverged_versions import path_in, refused_because
from mignet.kube.kinds import HYPERCONVERGED_V1, NAMESPACE, Kind, Object, kind_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from config.cluster import Cluster as ClusterConfig
    from mignet.kube.kubeconfig import Connection

T = TypeVar("T")

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
"""Until the next part of an answer comes."""
ANSWER_SECONDS = 60.0
"""Until an answer is complete, with all its pages, and with the waits that a busy API server asks for."""
WATCH_SILENCE = 100.0
"""Until a watch tells something, at least that nothing happened: the API server sends a bookmark about every minute."""
MOST_EVENT_BYTES = 8 << 20
"""Of what a watch tells at once; the API server stores no object of more than 1.5 MiB."""
MOST_BYTES = 512 << 20
"""Of one answer: what lists some ten thousand pods has a tenth."""
PAGE = 250
"""Objects in one answer of a list: of all at once, a big cluster gives no answer in time. kubectl asks for 500."""
RESTARTS = 3
"""Times that a list is begun anew when its next page has expired: the API server forgets them after 5 minutes."""
MOST_OBJECTS = 1_000_000
"""Of one list: no cluster has so many, and a server that always has one more page is none."""
REQUESTS = 8
"""Requests to one API server at the same time, and so connections: each costs a handshake."""
LIMIT_VARIABLE = "MIGNET_TIMEOUT"
"""Environment variable: seconds that none of the three above may exceed."""
SYSTEM_NAMESPACE = "kube-system"
"""Every cluster has it from its first day to its last."""
ATTEMPTS = 8
"""Times that a request is made while the API server answers that it is busy; it says how long to wait in between."""


Reason = Literal[
    "kubeconfig",
    "other-cluster",
    "unreachable",
    "unauthorized",
    "forbidden",
    "not-served",
    "conflict",
    "refused",
    "not-gathered",
]
"""Why a cluster did not do what was asked of it; the last one is of what stands for a cluster, and lacks something."""


class ClusterError(UserError):
    """The cluster did not do what was asked of it: one sentence that says what, and what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(visible(message))

    def __reduce__(self) -> tuple[type[ClusterError], tuple[Reason, str]]:
        return type(self), (self.reason, str(self))

    def kept(self) -> Self:
        """Return it as a value for later, without the calls and errors that it came of: they hold a client's memory."""
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that another field manager owns, so that a server-side apply without force is refused."""

    path: str
    owner: str


class ConflictError(UserError):
    """A server-side apply met fields of other field managers."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        self.conflicts = conflicts
        super().__init__(", ".join(f"{conflict.path} ({conflict.owner})" for conflict in conflicts))


Listed = tuple[list[Object], str]
"""The objects of a list, and its version."""


class ExpiredError(Exception):
    """What happened since then is no longer known to the API server: the objects have to be listed anew."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an object, and the version from which on the rest follows.

    `ADDED`, `MODIFIED` and `DELETED` are what the API server calls it; a `BOOKMARK` has no object, only a version.
    """

    happened: str
    live: Object
    version: str


class Cluster:
    """An open connection to one cluster. Use it as an asynchronous context manager.

    Every method raises ClusterError when the API server cannot be reached, or refuses.
    """

    def __init__(self, config: ClusterConfig, *, base: Path) -> None:
        self._config = config
        self._base = base
        self._apart: object = None
        """Who alone has its connections; None to share them."""

    async def __aenter__(self) -> Self:
        try:
            connection = kubeconfig.connection(self._config, self._base)
        except kubeconfig.KubeconfigError as error:
            raise ClusterError("kubeconfig", str(error)) from error
        single = connection.single
        self._server = without_user(single.cluster.server)
        self._user = single.user
        limit = _limit()
        self._answer_seconds = min(ANSWER_SECONDS, limit)
        timeout = httpx2.Timeout(min(READ_SECONDS, limit), connect=min(CONNECT_SECONDS, limit))
        # Stacks of one cluster that are worked on at the same time share its connections, whatever its contexts.
        key = (
            asyncio.get_running_loop(),
            str(single.fname),
            repr((single.cluster, single.user, connection)),
            id(self._apart),
        )
        self._shared = _clients.setdefault(key, _Shared())
        self._shared.users += 1
        try:
            if self._shared.client is None:
                self._shared.client = _client(connection, timeout)
        except (KubeConfigError, httpx2.InvalidURL, OSError, TypeError, ValueError) as error:
            message = f"context {self._config.context} of the kubeconfig cannot be used: {unreadable(error)}"
            _clients.pop(key, None)
            raise ClusterError("kubeconfig", message) from error
        self._client = self._shared.client
        self._key = key
        if self._config.uid is not None:
            try:
                await self._recognise(self._config.uid)
            except BaseException:
                await self.__aexit__(None, None, None)
                raise
        return self

    async def _recognise(self, uid: str) -> None:
        """Raise ClusterError unless this is the cluster that the stack means."""
        try:
            found = await self.identity()
        except ClusterError as error:
            if error.reason != "forbidden":
                raise
            message = f"{error}: cluster.uid is compared with its UID; mignet export role observe has that right"
            raise ClusterError("forbidden", message) from error
        if found != uid:
            message = f"{self._where} is another cluster: the UID of its namespace {SYSTEM_NAMESPACE} is {found}, and"
            message += f" cluster.uid is {uid}; correct the context or the kubeconfig, or cluster.uid where the cluster"
            raise ClusterError("other-cluster", f"{message} was installed anew")

    async def identity(self) -> str:
        """Return what tells this cluster from every other: the UID of its namespace `kube-system`, in lower case."""
        if self._shared.identity is None:
            namespace = await self.get(NAMESPACE, SYSTEM_NAMESPACE)
            if namespace is None:
                raise ClusterError("refused", f"{self._where} has no namespace {SYSTEM_NAMESPACE}; see what serves it")
            if not isinstance(uid := namespace["metadata"].get("uid"), str):
                raise ClusterError("refused", f"{self._where} answered a namespace without a UID; see what serves it")
            self._shared.identity = uid.lower()
        return self._shared.identity

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.users -= 1
        if not self._shared.users:
            _clients.pop(self._key, None)
            await self._client.close()

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Read one object, or None when it is not there. Raises ClusterError `not-served` when its API is not."""

        async def read() -> Object | None:
            try:
                return _known(await self._client.get(_resource(kind), name, namespace=namespace), kind)
            except ApiError as error:
                if error.status.code == 404:
                    return None
                raise

        return await self._ask(f"read {kind.kind} {name}", kind, read)

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[Object]:
        """Read the objects of a kind in one namespace, or in all; those with all of `labels` and `fields` when given.

        What the kind has in bulk is left out. Which fields the API server selects by depends on the kind;
        `metadata.name` is one of every kind's.
        """
        return (await self.listed(kind, namespace=namespace, labels=labels, fields=fields))[0]

    async def listed(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str | tuple[str, ...]] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Listed:
        """Read the same, and the version from which on `watch` tells what happens; a label may have one of several."""

        async def read() -> Listed:
            where = (namespace or "*") if kind.namespaced else None
            narrowed: Any = {"labels": dict(labels or {}), "fields": dict(fields or {})}
            pages = self._client.list(_listed(kind), namespace=where, chunk_size=PAGE, **narrowed)
            found: list[Object] = []
            bulk = _bulk(kind)
            async for item in pages:
                live = _known(item, kind)
                found.append(_without(bulk, live) if bulk else live)
                if len(found) > MOST_OBJECTS:
                    raise _NoObjectError(f"a list of more than {MOST_OBJECTS:,} objects")
            return found, str(pages._resourceVersion or "")

        async def read_anew() -> Listed:
            for left in reversed(range(RESTARTS)):
                try:
                    return await read()
                except ApiError as error:
                    if error.status.code != 410 or not left:
                        raise
            raise AssertionError

        return await self._ask(f"list {kind.kind}", kind, read_anew)

    async def watch(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str | tuple[str, ...]] | None = None,
        fields: Mapping[str, str] | None = None,
        since: str,
        seconds: int,
    ) -> AsyncGenerator[Event, None]:
        """Yield what happens to objects since a version of their list, until the API server ends it after so long.

        What the kind has in bulk is left out. Raises ExpiredError where the API server no longer knows what happened
        since then, and ClusterError `unreachable` when nothing comes for WATCH_SILENCE, not even a bookmark.
        """
        action = f"watch {kind.kind}"
        where = (namespace or "*") if kind.namespaced else None
        params = {
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": seconds,
            "labelSelector": build_selector(dict(labels)) if labels else None,
            "fieldSelector": build_selector(dict(fields), for_fields=True) if fields else None,
        }
        core: Any = self._client._client
        about: Any = core.prepare_request("list", res=_resource(kind), namespace=where, watch=True, params=params)
        limit = _limit()
        patience = httpx2.Timeout(min(WATCH_SILENCE, limit), connect=min(CONNECT_SECONDS, limit))

        async def begin() -> httpx2.Response:
            # Not lightkube's watch: it asks for no bookmarks, and decodes what nobody reads.
            request = core._client.build_request(about.method, about.url, params=about.params, timeout=patience)
            response: httpx2.Response = await core.send(request, stream=True)
            try:
                if response.is_error:
                    await response.aread()
                core.raise_for_status(response)
            except BaseException:
                await response.aclose()
                raise
            return response

        try:
            response = await self._ask(action, kind, begin)
        except ClusterError as error:
            if isinstance(error.__cause__, ApiError) and error.__cause__.status.code == 410:
                raise ExpiredError from error
            raise
        try:
            async for line in _lines(response.aiter_bytes()):
                yield _event(line, kind)
        except ApiError as error:
            if error.status.code == 410:
                raise ExpiredError from error
            raise self._refusal(action, kind, error) from error
        except httpx2.HTTPError as error:
            raise self._failure(action, kind, error) from error
        except FAILURES as error:
            raise self._failed(action, kind, error) from error
        except (AttributeError, RecursionError) as error:
            raise self._nonsense(action, error) from error
        finally:
            await response.aclose()

    async def serves(self, kind: Kind) -> bool:
        """Tell whether discovery lists a kind, which everybody may ask who is logged in; True where it does not say."""
        if not kind.group:
            return True

        async def read() -> bool:
            # lightkube speaks of objects only; its own client has the connection and the credentials.
            http = self._client._client._client
            response = await http.get(f"/apis/{kind.api_version}")
            if response.status_code == 404:
                return False
            response.raise_for_status()
            return any(each.get("kind") == kind.kind for each in response.json()["resources"])

        try:
            return await self._ask("list the APIs", kind, read)
        except ClusterError:
            return True

    async def apply(self, manifest: Object, *, manager: str, force: bool, dry_run: bool) -> Object:
        """Apply an object server-side and return what the API server holds, or would hold after a dry run.

        Raises ConflictError when other field managers own fields of it and `force` is False.
        """
        kind = kind_of(manifest)
        name, namespace = manifest["metadata"]["name"], manifest["metadata"].get("namespace")

        async def write() -> Object:
            wanted = _resource(kind)(manifest)
            try:
                applied = await self._client.apply(
                    wanted, name, namespace=namespace, field_manager=manager, force=force, dry_run=dry_run
                )
            except ApiError as error:
                if error.status.code == 409 and (conflicts := _conflicts(error, kind)):
                    raise ConflictError(conflicts) from error
                raise
            return _known(applied, kind)

        return await self._ask(f"apply {kind.kind} {name}", kind, write)

    async def create(self, kind: Kind, manifest: Object, namespace: str | None = None) -> Object:
        """Create an object, and return it as the API server holds it."""

        async def write() -> Object:
            wanted: Any = _resource(kind)(manifest | {"apiVersion": kind.api_version, "kind": kind.kind})
            where: Any = {"namespace": namespace} if kind.namespaced else {}
            created = await self._client.create(wanted, field_manager=FIELD_MANAGER, **where)
            return _plain(created)

        return await self._ask(f"create {kind.kind}", kind, write)

    async def delete(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Delete an object in the background; one that is gone already counts as deleted."""

        async def remove() -> None:
            try:
                await self._client.delete(_resource(kind), name, namespace=namespace, cascade=CascadeType.BACKGROUND)
            except ApiError as error:
                if error.status.code != 404:
                    raise

        await self._ask(f"delete {kind.kind} {name}", kind, remove)

    async def _ask(self, action: str, kind: Kind, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request, and make it again while the API server asks for patience; all of it in a bounded time."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._ask_patiently(action, kind, request)
        except TimeoutError as error:
            waited = f"no complete answer in {self._answer_seconds:.0f} s"
            raise ClusterError("unreachable", f"{self._where} is unreachable: {waited}") from error

    async def _ask_patiently(self, action: str, kind: Kind, request: Callable[[], Awaitable[T]]) -> T:
        begun = time.monotonic()
        for attempts_left in reversed(range(ATTEMPTS)):
            try:
                async with self._shared.room:
                    if (silence := self._shared.silence) and self._shared.silent_at > begun:
                        # It took no connection meanwhile: the next one in the queue need not try the same.
                        raise silence
                    return await request()
            except ApiError as error:
                if error.status.code != 429 or not attempts_left:
                    raise self._refusal(action, kind, error) from error
                details = error.status.details
                await asyncio.sleep((details.retryAfterSeconds if details else None) or 1)
            except FAILURES as error:
                raise self._failed(action, kind, error) from error
            except (AttributeError, RecursionError) as error:
                raise self._nonsense(action, error) from error
            except httpx2.HTTPError as error:
                if isinstance(error, httpx2.ConnectTimeout | httpx2.ConnectError):
                    self._shared.silence, self._shared.silent_at = error, time.monotonic()
                raise self._failure(action, kind, error) from error
        raise AssertionError

    def _failed(self, action: str, kind: Kind, error: Exception) -> ClusterError:
        """Say why a request failed before it was sent, or its answer could not be read."""
        if isinstance(refusal := error.__context__, httpx2.HTTPStatusError):
            # lightkube looks for the form of an answer that says none, as those of some proxies.
            return self._failure(action, kind, refusal)
        if why := unusable(self._user, error):
            return ClusterError("kubeconfig", f"{self._where}: {why}")
        if isinstance(error, ValueError) and not isinstance(error, msgspec.ValidationError):
            return ClusterError("refused", f"{self._where} answered something that is not JSON to: {action}")
        if isinstance(error, OSError):
            why = error.strerror or named(error)
            return ClusterError("unreachable", f"{self._where} is unreachable: {why}")
        return self._nonsense(action, error)

    def _nonsense(self, action: str, error: Exception) -> ClusterError:
        what = str(error) if isinstance(error, _NoObjectError) else "something that its API does not promise"
        message = f"{self._where} answered {what} to: {action}; see what serves it, and what is between"
        return ClusterError("refused", message)

    @property
    def _where(self) -> str:
        return f"context {self._config.context} ({self._server})"

    def _refusal(self, action: str, kind: Kind, error: ApiError) -> ClusterError:
        answers: dict[int, tuple[Reason, str]] = {
            401: ("unauthorized", f"; {expired(self._user) or 'log in again'}"),
            409: ("conflict", ""),
            403: ("forbidden", "; ask the cluster's administrator for that right"),
        }
        reason, hint = answers.get(error.status.code or 0, ("refused", ""))
        if reason == "refused" and kind.kind == HYPERCONVERGED_V1.kind:
            hint = refused_because(error.status.message or "", kind.api_version)
        return ClusterError(reason, f"{self._where} refused to {action}: {self._kept(error.status.message)}{hint}")

    def _kept(self, message: object) -> str:
        """Return what a server says, without a secret of ours that it repeats."""
        text, user = str(message), self._user
        secrets = (user.token, user.password) if user else ()
        for secret in (*secrets, *_given(self._client)):
            text = text.replace(secret, "•") if secret else text
        return text

    def _failure(self, action: str, kind: Kind, error: httpx2.HTTPError) -> ClusterError:
        match error:
            # An API that is not served answers with plain text, not with a Status.
            case httpx2.HTTPStatusError(response=httpx2.Response(status_code=404)):
                hint = "install its operator, or correct the version"
                return ClusterError("not-served", f"{self._where} does not serve {kind}; {hint}")
            case httpx2.HTTPStatusError(response=httpx2.Response(status_code=401)):
                why = expired(self._user) or "log in again"
                return ClusterError("unauthorized", f"{self._where} does not accept the credentials; {why}")
            case httpx2.HTTPStatusError(response=response):
                return ClusterError("refused", f"{self._where} answered {response.status_code} to: {action}")
            case httpx2.TimeoutException():
                limit = _limit()
                connect, answer = min(CONNECT_SECONDS, limit), min(READ_SECONDS, limit)
                seconds = f"{connect:.0f} s to connect, {answer:.0f} s to answer"
                return ClusterError("unreachable", f"{self._where} is unreachable: no answer in time ({seconds})")
            case _ if distrust := re.search(
                r"CERTIFICATE_VERIFY_FAILED\] certificate verify failed: (.*?) \(_ssl", str(error)
            ):
                remedy = (
                    "correct cluster.certificate-authority, tls-server-name or server in the kubeconfig, or renew it"
                )
                message = f"{self._where} is unreachable: its certificate is not trusted ({distrust[1]}); {remedy}"
                return ClusterError("unreachable", message)
            case _:
                why = expired(self._user) or named(error)
                return ClusterError("unreachable", f"{self._where} is unreachable: {why}")


def named(error: Exception) -> str:
    """Say what an error says, or what it is where it says nothing."""
    return str(error) or type(error).__name__


def _limit() -> float:
    """Return the most seconds that anything may take, as the user's environment says."""
    value = os.environ.get(LIMIT_VARIABLE, "")
    try:
        seconds = float(value) if value else ANSWER_SECONDS
    except ValueError:
        seconds = 0
    if not seconds > 0:
        raise ClusterError(
            "kubeconfig", f"{LIMIT_VARIABLE} is {value}, which is no number of seconds; write 30, or unset it"
        )
    return seconds


@dataclass(slots=True)
class _Shared:
    client: AsyncClient | None = None
    users: int = 0
    identity: str | None = None
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REQUESTS))
    silence: httpx2.ConnectTimeout | httpx2.ConnectError | None = None
    silent_at: float = 0.0
    """When it last took no connection, on the clock of time.monotonic."""


_clients: dict[tuple[asyncio.AbstractEventLoop, str, str, int], _Shared] = {}


def _client(connection: Connection, timeout: httpx2.Timeout) -> AsyncClient:
    """Return lightkube's client, told of what it reads from no kubeconfig: impersonation, proxy and server name."""
    wanted, public = connection.single, trusts_the_public(connection.single)
    if public:
        # lightkube would read the system's authorities for each cluster, 16 ms and a megabyte. Its client is replaced.
        wanted = wanted._replace(cluster=msgspec.structs.replace(wanted.cluster, insecure=True))
    with in_memory(wanted) as single:
        client = AsyncClient(single, timeout=timeout, field_manager=None, proxy=connection.proxy)
    if public:
        client._client._client = httpx2.AsyncClient(
            base_url=client._client._client.base_url,
            auth=client._client._client.auth,
            timeout=timeout,
            proxy=connection.proxy,
            verify=_system_trust(),
        )
    http: httpx2.AsyncClient = client._client._client
    for name, value in connection.headers.items():
        for each in [value] if isinstance(value, str) else value:
            http.headers = httpx2.Headers([*http.headers.multi_items(), (name, each)])

    async def named(request: httpx2.Request) -> None:
        request.extensions = {**request.extensions, "sni_hostname": connection.server_name}

    http.event_hooks = {"request": [named] if connection.server_name else [], "response": [_bounded]}
    return client


@cache
def _system_trust() -> ssl.SSLContext:
    """Return what trusts the authorities that the system trusts; read once for all clusters."""
    return httpx2.create_ssl_context()


def _given(client: AsyncClient) -> tuple[str, ...]:
    """Return the tokens of files and plugins that requests carried."""
    auth = client._client._client.auth
    carried = (getattr(auth, "_last_bearer", None), getattr(auth, "_bearer", None))
    return tuple(each.removeprefix("Bearer ") for each in carried if isinstance(each, str))


_resources: dict[Kind, Any] = {}
_resources_lock = threading.Lock()


def _resource(kind: Kind) -> Any:
    # Pulumi works on several uplinks at a time, in threads of one process; lightkube refuses a kind made twice.
    with _resources_lock:
        if kind not in _resources:
            create = create_namespaced_resource if kind.namespaced else create_global_resource
            _resources[kind] = create(kind.group, kind.version, kind.kind, kind.plural)
        return _resources[kind]


class _Metadata(msgspec.Struct):
    """The metadata of an object in a list, without its managedFields: the larger half of many, which nobody decodes."""

    name: Any = None
    namespace: Any = None
    uid: Any = None
    labels: Any = None
    annotations: Any = None
    creationTimestamp: Any = None  # noqa: N815
    deletionTimestamp: Any = None  # noqa: N815
    generation: Any = None
    resourceVersion: Any = None  # noqa: N815
    ownerReferences: Any = None  # noqa: N815
    finalizers: Any = None


class _Slim(msgspec.Struct):
    """An object of a list, of a kind whose managedFields nobody reads."""

    metadata: _Metadata | None = None
    spec: Any = None
    status: Any = None

    def to_dict(self) -> dict[str, Any]:
        metadata = msgspec.structs.asdict(self.metadata) if self.metadata else {}
        kept = {key: value for key, value in metadata.items() if value is not None}
        return {"metadata": kept, "spec": self.spec, "status": self.status}


@cache
def _listed(kind: Kind) -> Any:
    """Return what lightkube makes of the objects of a list."""
    if _MANAGED not in kind.bulk:
        return _resource(kind)
    scope = NamespacedResourceG if kind.namespaced else GlobalResource
    return msgspec.defstruct(kind.kind, (), bases=(scope, _Slim), namespace={"_api_info": _resource(kind)._api_info})


class _Whole(msgspec.Struct):
    """An object of a watch, with all it has."""

    live: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return self.live


class _Line(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class _Marked(msgspec.Struct):
    """What a bookmark has, and an error."""

    metadata: _Metadata | None = None
    code: int | None = None
    message: str | None = None


_LINE, _MARKED = msgspec.json.Decoder(_Line), msgspec.json.Decoder(_Marked)
_SLIM, _ANY = msgspec.json.Decoder(_Slim), msgspec.json.Decoder(dict[str, Any])


def _event(line: bytes, kind: Kind) -> Event:
    """Read one line of a watch. Raises ApiError for an error, and _NoObjectError for what is no event."""
    told = _LINE.decode(line)
    if told.type in {"BOOKMARK", "ERROR"}:
        marked = _MARKED.decode(told.object)
        if told.type == "ERROR":
            raise ApiError(status=Status(code=marked.code, message=marked.message))
        version = marked.metadata.resourceVersion if marked.metadata else None
        return Event(told.type, {}, _version(version))
    if told.type not in {"ADDED", "MODIFIED", "DELETED"}:
        msg = "an event of no known type"
        raise _NoObjectError(msg)
    found = _SLIM.decode(told.object) if _MANAGED in kind.bulk else _Whole(_ANY.decode(told.object))
    live = _known(found, kind)
    bulk = _bulk(kind)
    return Event(told.type, _without(bulk, live) if bulk else live, _version(live["metadata"].get("resourceVersion")))


def _version(found: object) -> str:
    if not isinstance(found, str) or not found:
        msg = "an event without a version"
        raise _NoObjectError(msg)
    return found


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield whole lines; the rest of one that is cut off is none. Raises ReadError for one that is too long."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > MOST_EVENT_BYTES:
            msg = f"an event is longer than {MOST_EVENT_BYTES:,} bytes"
            raise httpx2.ReadError(msg)


class _NoObjectError(TypeError):
    """An answer is not of the form that all objects have; says what it is instead."""


_MANAGED = "metadata.managedFields"
_MAPPINGS, _LISTS = ("labels", "annotations"), ("managedFields", "ownerReferences")


def _known(found: Any, kind: Kind) -> Object:
    """Return an object with what every one has. Raises _NoObjectError for what is none."""
    live = _plain(found) | {"apiVersion": kind.api_version, "kind": kind.kind}
    metadata = live.get("metadata")
    named = ("name", "namespace") if kind.namespaced else ("name",)
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(key), str) for key in named):
        msg = f"a {kind.kind} without {' or '.join(named)}"
        raise _NoObjectError(msg)
    return live


@cache
def _bulk(kind: Kind) -> dict[str, Any]:
    """Return the paths of what a kind has in bulk as a tree of keys, whose ends are empty."""
    tree: dict[str, Any] = {}
    for path in set(kind.bulk) - {_MANAGED}:
        place = tree
        for key in path.split("."):
            place = place.setdefault(key, {})
    return tree


def _without(bulk: Mapping[str, Any], value: Any) -> Any:
    """Return a value without what is at the ends of a tree of keys; lists are gone through.

    What it says again and again, as the types of ten thousands of interfaces, is in memory once.
    """
    if isinstance(value, list):
        return [_without(bulk, each) for each in value]
    if not isinstance(value, dict):
        return value
    # Made anew, as a mapping from which something is taken keeps its size.
    return {
        key: _without(bulk[key], each) if key in bulk else intern(each) if type(each) is str else each
        for key, each in value.items()
        if key not in bulk or bulk[key]
    }


def _plain(found: Any) -> Object:
    """Return what was answered as a mapping, without what is null. Raises _NoObjectError for parts of another kind."""
    return in_form({key: value for key, value in found.to_dict().items() if value is not None})


def in_form(live: Object) -> Object:
    """Return an object whose parts are of the kinds that all objects' are. Raises TypeError for any other."""
    wrong = [key for key in ("metadata", "spec", "status", "data") if not isinstance(live.get(key, {}), dict)]
    if not wrong and (metadata := live.get("metadata")):
        wrong = [key for key in _MAPPINGS if not isinstance(metadata.get(key, {}), dict)]
        for key in _LISTS:
            listed = metadata.get(key, [])
            if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
                wrong.append(key)
    if wrong:
        msg = f"an object whose {wrong[0]} is of another kind than its API promises"
        raise _NoObjectError(msg)
    return live


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer, up to `MOST_BYTES`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > MOST_BYTES:
                msg = f"an answer is longer than {MOST_BYTES:,} bytes"
                raise httpx2.ReadError(msg)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bounded(response: httpx2.Response) -> None:
    if 300 <= response.status_code < 400:
        # An API server sends nobody elsewhere, and credentials do not go there.
        msg = "a redirection"
        raise httpx2.HTTPStatusError(msg, request=response.request, response=response)
    response.stream = _Bounded(response.stream)


def _conflicts(error: ApiError, kind: Kind) -> tuple[Conflict, ...]:
    causes = (error.status.details.causes if error.status.details else None) or ()
    return tuple(
        _conflict(cause.field or "", cause.message or "", kind)
        for cause in causes
        if cause.reason == "FieldManagerConflict"
    )


def _conflict(field_: str, message: str, kind: Kind) -> Conflict:
    # 'conflict with "kubectl-create" using hco.kubevirt.io/v1beta1': the path is that version's.
    owner = re.search(r'"([^"]+)"', message)
    version = re.search(r" using (\S+)", message)
    path = path_in(field_.lstrip("."), written=version[1] if version else "", read=kind.api_version)
    return Conflict(path, owner[1] if owner else message)
