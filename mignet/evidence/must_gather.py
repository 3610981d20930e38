"""What `oc adm must-gather` and `oc adm inspect` wrote, as a cluster that can be looked at as far as that goes.

Both write an object a file, or a list a file, below `cluster-scoped-resources/GROUP/RESOURCE` and
`namespaces/NAMESPACE/GROUP/RESOURCE`; images of must-gather each have a folder of their own, and older ones of KubeVirt
name the folders `crs/RESOURCE.GROUP`. Sources: openshift/oc pkg/cli/admin/inspect (resource.go, util.go, namespace.go),
kubevirt/must-gather collection-scripts.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import yaml

from config.files.file_text import read_bytes
from config.finding import ConfigError, Finding, few
from mignet.evidence.asked import Offline
from mignet.evidence.recording import name_of
from mignet.kube import kinds
from mignet.kube.client import SYSTEM_NAMESPACE, ClusterError, in_form
from mignet.kube.kinds import DEFINITION, NAMESPACE, Kind, Object
from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from config.cluster import Cluster as ClusterConfig

MOST_BYTES = 256 << 20
"""Of one file: a list of the pods of a large namespace has some ten millions."""
MOST_FILES = 2_000_000
"""Of a folder."""
_OF_EVERY_NAMESPACE = frozenset({"", "apps", "batch", "coordination.k8s.io"})
"""Groups whose objects are in every namespace, of which only some are gathered; of others all are, or none."""
_ROOTS = frozenset({"cluster-scoped-resources", "namespaces"})
_OF_OPENSHIFT = "clusterversions.config.openshift.io"
"""A definition that every OpenShift has: where it was gathered, all were."""


class _Loader(yaml.CSafeLoader):
    """Leaves as text what Go writes as text: times, and the signs `=` and `<<` (prometheus-operator's definitions)."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value", ":merge"))]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(slots=True)
class Folder:
    """A folder, by what is in it: files by group, resource and namespace (None for what is in none)."""

    path: Path
    at: datetime | None
    """When it was gathered, in UTC, as far as it says."""
    files: Mapping[tuple[str, str, str | None], tuple[Path, ...]]
    _read: dict[Path, tuple[Object, ...]] = field(default_factory=dict)

    def objects(self, kind: Kind, namespace: str | None) -> tuple[Object, ...] | None:
        """Return the objects of a kind in one namespace (None: in none); None where they were not gathered.

        Raises ClusterError for a file that cannot be read.
        """
        paths = self.files.get((kind.group, kind.plural, namespace))
        if paths is None:
            return None
        found = {}
        for path in paths:
            for each in self._objects(path):
                try:
                    metadata = in_form(each)["metadata"]
                except (KeyError, TypeError):
                    continue
                if not isinstance(metadata.get("name"), str):
                    continue
                if each.get("apiVersion") == kind.api_version and each.get("kind") == kind.kind:
                    found[metadata["name"]] = each
                elif each.get("kind") == kind.kind:
                    return None
        return tuple(found.values())

    def _objects(self, path: Path) -> tuple[Object, ...]:
        if path not in self._read:
            try:
                # must-gather of KubeVirt writes some files by kubectl, with more than one document.
                documents = list(yaml.load_all(read_bytes(path, most=MOST_BYTES), _Loader))
            except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not YAML"
                message = f"{path.relative_to(self.path)} of {self.path.name} cannot be read: {why}"
                raise ClusterError("not-gathered", message) from error
            found: list[Object] = []
            for each in documents:
                if not isinstance(each, dict):
                    continue
                items = each.get("items")
                found += _items(each, items) if isinstance(items, list) else [each]
            self._read[path] = tuple(found)
        return self._read[path]


def _items(listed: Object, items: list[Any]) -> list[Object]:
    """Return the objects of a list, each with its kind: in a list of one kind, none has it."""
    kind = str(listed.get("kind", "")).removesuffix("List")
    own = {"apiVersion": listed.get("apiVersion"), "kind": kind} if kind else {}
    return [own | each for each in items if isinstance(each, dict)]


class Gathered(Offline):
    """A cluster as a folder holds it. What the folder lacks is a ClusterError `not-gathered`. No connection is made."""

    def __init__(self, config: ClusterConfig, *, base: Path, folder: Folder | None) -> None:
        super().__init__(config, base=base)
        self._folder = folder

    async def __aenter__(self) -> Self:
        if self._folder is None:
            raise ClusterError("not-gathered", f"no folder was given for context {self._config.context}")
        if (wanted := self._config.uid) is not None:
            try:
                found = await self.identity()
            except ClusterError:
                # Nobody knows whether it is the stack's own; who gave the folder says so.
                return self
            if found != wanted:
                message = f"{self._where} is of another cluster: its {SYSTEM_NAMESPACE} has UID {found},"
                raise ClusterError(
                    "other-cluster", f"{message} and cluster.uid is {wanted}; give the folder of that one"
                )
        return self

    async def answer(self, question: str, ask: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ARG002
        """Refuse: rights and dry runs are asked of an API server only."""
        self._lacks("answers of the API server")

    async def identity(self) -> str:
        """Return the UID of the namespace kube-system, where that was gathered."""
        namespace = await self.get(NAMESPACE, SYSTEM_NAMESPACE)
        if namespace is None or not isinstance(uid := namespace["metadata"].get("uid"), str):
            self._lacks(f"{NAMESPACE.kind} {SYSTEM_NAMESPACE}")
        return uid.lower()

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, None where those of its kind were gathered and it is not among them."""
        found = self._in(kind, namespace if kind.namespaced else None)
        if found is None:
            self._not_served(kind)
            self._lacks(f"{kind.kind} {name}")
        one = next((each for each in found if each["metadata"]["name"] == name), None)
        if one is None and (kind == NAMESPACE or (kind == DEFINITION and not self._all_definitions)):
            self._lacks(f"{kind.kind} {name}")
        return one

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[Object]:
        """Return the objects of a kind, where they were gathered."""
        found = list(self._listed(kind, namespace))
        for name, value in (labels or {}).items():
            found = [each for each in found if (each["metadata"].get("labels") or {}).get(name) == value]
        for path, value in (fields or {}).items():
            found = [each for each in found if value_at(each, path) == value]
        return found

    async def serves(self, kind: Kind) -> bool:
        """Tell whether a kind is served, as far as the definitions were gathered; True where nobody knows."""
        return not self._without(kind)

    def _listed(self, kind: Kind, namespace: str | None) -> Iterator[Object]:
        if not kind.namespaced or namespace is not None:
            found = self._in(kind, namespace if kind.namespaced else None)
            if found is None:
                self._not_served(kind)
                self._lacks(f"{kind.plural}{f' of namespace {namespace}' if namespace else ''}")
            yield from found
            return
        files = self._folder.files if self._folder else {}
        there = sorted(
            where for group, plural, where in files if (group, plural) == (kind.group, kind.plural) and where
        )
        if not there:
            self._not_served(kind)
            self._lacks(kind.plural)
        if kind.group in _OF_EVERY_NAMESPACE:
            self._lacks(f"{kind.plural} of all namespaces (only of {few(there)})")
        for where in there:
            found = self._in(kind, where)
            if found is None:
                self._lacks(f"{kind.plural} in the version {kind.api_version}")
            yield from found

    def _in(self, kind: Kind, namespace: str | None) -> tuple[Object, ...] | None:
        return None if self._folder is None else self._folder.objects(kind, namespace)

    def _without(self, kind: Kind) -> bool:
        """Tell whether the cluster is known not to serve a kind: all definitions were gathered, and none is its own."""
        own = f"{kind.plural}.{kind.group}"
        return self._all_definitions and "." in kind.group and own not in self._definitions

    @property
    def _definitions(self) -> set[str]:
        return {each["metadata"]["name"] for each in self._in(DEFINITION, None) or ()}

    @property
    def _all_definitions(self) -> bool:
        # KubeVirt's own must-gather takes those of KubeVirt alone.
        return _OF_OPENSHIFT in self._definitions

    def _not_served(self, kind: Kind) -> None:
        if self._without(kind):
            message = f"the definitions in {self._where} have none of {kind}; its operator is not installed"
            raise ClusterError("not-served", message)

    def _lacks(self, what: str) -> NoReturn:
        raise ClusterError("not-gathered", f"{self._where} does not hold {what}")

    @property
    def _where(self) -> str:
        return "the folder" if self._folder is None else self._folder.path.name


@dataclass(frozen=True, slots=True)
class Folders:
    """A source of looks: a folder for each stack's cluster, by the context of the stack."""

    folders: Mapping[str, Folder]
    state: Path | None = None

    @property
    def at(self) -> datetime | None:
        """When the first of them was gathered, in UTC; None where none says so."""
        return min((each.at for each in self.folders.values() if each.at), default=None)

    def opened(self, config: ClusterConfig, *, base: Path) -> Gathered:
        """Return what stands for a cluster."""
        return Gathered(config, base=base, folder=self.folders.get(name_of(config)))

    def declaration(self, stack: str) -> None:
        """Return nothing: the program is there, to be evaluated."""


def read(path: Path) -> Folder:
    """Find what is in a folder; its files are read when they are asked for.

    Raises ConfigError for a folder that neither of both commands wrote.
    """
    files: dict[tuple[str, str, str | None], list[Path]] = defaultdict(list)
    at: list[datetime] = []
    count = 0
    for above, folders, names in os.walk(path):
        folders.sort()
        here = Path(above)
        parts = here.relative_to(path).parts
        root = next((index for index, part in enumerate(parts) if part in _ROOTS), None)
        for name in sorted(names):
            count += 1
            if count > MOST_FILES:
                raise ConfigError([_mistake(path, f"has more than {MOST_FILES:,} files")])
            if root is None:
                at += _times(here / name) if name == "timestamp" else ()
            elif name.endswith((".yaml", ".yml", ".json")) and (key := _key((*parts[root:], name))):
                files[key].append(here / name)
    if not files:
        raise ConfigError([_mistake(path, "is no folder of oc adm must-gather or oc adm inspect")])
    return Folder(path, max(at, default=None), {key: tuple(each) for key, each in files.items()})


def _key(parts: tuple[str, ...]) -> tuple[str, str, str | None] | None:
    """Return the group, the resource and the namespace of a file, by its path from one of the two roots on."""
    root, *folders = parts[:-1]
    stem = parts[-1].rsplit(".", 1)[0]
    namespace = None
    if root == "namespaces":
        if not folders:
            return None
        namespace, *folders = folders
        if not folders:
            # The namespace itself.
            return ("", "namespaces", None) if stem == namespace else None
    if folders[:1] == ["crs"] and len(folders) == 2:
        return _old(folders[1], namespace)
    if folders[0] == "pods" and len(folders) == 2:
        return ("", "pods", namespace) if stem == folders[1] else None
    if len(folders) == 1 and "." in folders[0] and namespace is None and not _is_group(folders[0], stem):
        return _old(folders[0], namespace)
    group = "" if folders[0] == "core" else folders[0]
    # KubeVirt's sorts virtual machines into folders below theirs.
    return group, folders[1] if len(folders) > 1 else stem, namespace


def _old(name: str, namespace: str | None) -> tuple[str, str, str | None]:
    plural, _, group = name.partition(".")
    return group, plural, namespace


def _is_group(folder: str, stem: str) -> bool:
    """Tell a folder of a group, with a list in a file of its own, from one of a resource with its group."""
    return stem in _PLURALS or folder not in {f"{plural}.{group}" for plural, group in _CLUSTER_SCOPED}


_WRITTEN = tuple(each for each in vars(kinds).values() if isinstance(each, Kind))
_PLURALS = frozenset(each.plural for each in _WRITTEN)
_CLUSTER_SCOPED = frozenset((each.plural, each.group) for each in _WRITTEN if not each.namespaced)


def _times(path: Path) -> Iterator[datetime]:
    """Yield the times in must-gather's file of them: begin and end, as Go writes a time."""
    try:
        text = read_bytes(path).decode()
    except (OSError, ValueError):
        return
    for day, time, zone in re.findall(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d{4})", text):
        yield datetime.strptime(f"{day} {time} {zone}", "%Y-%m-%d %H:%M:%S %z").astimezone(UTC)


def _mistake(path: Path, rule: str) -> Finding:
    remedy = "Give what one of both wrote, or an archive of mignet gather"
    return Finding(f"--from {path}", None, rule, remedy, code="usage", stack="mignet")
