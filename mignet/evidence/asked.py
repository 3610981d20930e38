"""A cluster whose every question goes through one place, where its answer is kept, or found."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from mignet.kube.client import Cluster, ClusterError, Conflict, ConflictError, Reason, in_form
from mignet.kube.kinds import ACCESS_REVIEW, Kind, Object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

Outcome = Any
"""What was answered: an object, a list of some, a word, None; or a ClusterError or ConflictError."""
OPEN = "open"
"""The question whether there is a connection at all."""


class Asked(Cluster):
    """A connection whose questions are told apart by a text, and that changes nothing."""

    async def answer(self, question: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer to a question, by asking or otherwise. Raises ClusterError and ConflictError."""
        raise NotImplementedError

    async def identity(self) -> str:
        """Return the cluster's own UID, as Cluster does."""
        found: str = await self.answer("identity", super().identity)
        return found

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Read one object, as Cluster does."""
        ask = partial(super().get, kind, name, namespace)
        found: Object | None = await self.answer(_question("get", kind, namespace, name=name), ask)
        return found

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[Object]:
        """Read the objects of a kind, as Cluster does."""
        ask = partial(super().list, kind, namespace=namespace, labels=labels, fields=fields)
        narrowed = {"labels": dict(labels or {}), "fields": dict(fields or {}), "bulk": _bulk(kind)}
        found: list[Object] = await self.answer(_question("list", kind, namespace, **narrowed), ask)
        return found

    async def serves(self, kind: Kind) -> bool:
        """Tell whether discovery lists a kind, as Cluster does."""
        found: bool = await self.answer(_question("serves", kind, None), partial(super().serves, kind))
        return found

    async def apply(self, manifest: Object, *, manager: str, force: bool, dry_run: bool) -> Object:
        """Ask what an apply would come to; a real one is refused."""
        if not dry_run:
            _refuse()
        ask = partial(super().apply, manifest, manager=manager, force=force, dry_run=True)
        content = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        question = json.dumps(["apply", manifest["kind"], manifest["metadata"]["name"], manager, force, content])
        found: Object = await self.answer(question, ask)
        return found

    async def create(self, kind: Kind, manifest: Object, namespace: str | None = None) -> Object:
        """Ask for a right; to create anything is refused."""
        if kind != ACCESS_REVIEW:
            _refuse()
        ask = partial(super().create, kind, manifest, namespace)
        found: Object = await self.answer(json.dumps(["review", manifest["spec"]], sort_keys=True), ask)
        return found

    async def delete(self, kind: Kind, name: str, namespace: str | None = None) -> None:  # noqa: ARG002
        """Refuse."""
        _refuse()


class Offline(Asked):
    """What stands for a connection, and makes none."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _refuse() -> NoReturn:
    raise ClusterError("refused", "what is looked at here is kept, and not to be changed")


def _question(verb: str, kind: Kind, namespace: str | None, **more: Any) -> str:
    return json.dumps([verb, kind.api_version, kind.plural, namespace, more], sort_keys=True)


def _bulk(kind: Kind) -> str:
    """Tell apart kinds that leave out other parts of the same objects."""
    return hashlib.sha256(",".join(kind.bulk).encode()).hexdigest()[:8] if kind.bulk else ""


def as_json(outcome: Outcome) -> Any:
    """Return an outcome as JSON has it; `from_json` makes the same of it again."""
    if isinstance(outcome, ClusterError):
        return {"error": outcome.reason, "message": str(outcome)}
    if isinstance(outcome, ConflictError):
        return {"conflicts": [[each.path, each.owner] for each in outcome.conflicts]}
    return {"answer": outcome}


def from_json(question: str, content: Any) -> Outcome:
    """Return an outcome of a question. Raises KeyError, TypeError or ValueError for what is none."""
    if "error" in content:
        if content["error"] not in get_args(Reason):
            raise ValueError(content["error"])
        return ClusterError(content["error"], str(content["message"]))
    if "conflicts" in content:
        return ConflictError(tuple(Conflict(str(path), str(owner)) for path, owner in content["conflicts"]))
    answer = content["answer"]
    verb = json.loads(question)[0] if question.startswith("[") else question
    if verb == "list":
        return [_object(each) for each in answer]
    if verb in {"get", "apply", "review"}:
        return None if answer is None and verb == "get" else _object(answer, named=verb != "review")
    if not isinstance(answer, bool if verb == "serves" else str):
        raise TypeError(verb)
    return answer


def _object(answer: Any, *, named: bool = True) -> Object:
    if not isinstance(answer, dict) or (named and not isinstance(in_form(answer)["metadata"].get("name"), str)):
        raise TypeError(answer)
    return answer


def given(outcome: Outcome) -> Any:
    """Return an answer. Raises what was raised when it was asked, anew."""
    if isinstance(outcome, ClusterError):
        raise ClusterError(outcome.reason, str(outcome))
    if isinstance(outcome, ConflictError):
        raise ConflictError(outcome.conflicts)
    return outcome
