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


@dataclass(frozen=True, slots=True)
class _File:
    """What a file holds; `listed` is the version of the cluster that its list is of, None of what is no list."""

    objects: tuple[Object, ...]
    listed: int | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """The objects of a kind by their names, and why some file that may have more of them cannot be read."""

    objects: Mapping[str, Object]
    unread: str | None = None


@dataclass(slots=True)
class Folder:
    """A folder, by what is in it: files by group, resource and namespace (None for what is in none)."""

    path: Path
    at: datetime | None
    """When it was gathered, in UTC, as far as it says."""
    files: Mapping[tuple[str, str, str | None], tuple[Path, ...]]
    name: str
    """How it is called in sentences."""
    _read: dict[Path, _File | str] = field(default_factory=dict)

    def objects(self, kind: Kind, namespace: str | None) -> _Found | None:
        """Return the objects of a kind in one namespace (None: in none); None where they were not gathered.

        Images of must-gather have the same objects, of different times: the newest counts, and what is older than a
        list that does not have it is gone. A file that cannot be read counts where no other image has it.
        """
        paths = self.files.get((kind.group, kind.plural, namespace))
        if paths is None:
            return None
        read: list[tuple[Path, _File]] = []
        unread: dict[str, str] = {}
        for path in paths:
            file = self._file(path)
            if isinstance(file, str):
                unread.setdefault(path.name, file)
            else:
                read.append((path, file))
        newest: dict[str, Object] = {}
        others: set[str] = set()
        lists: list[tuple[int, set[str]]] = []
        for path, file in read:
            unread.pop(path.name, None)
            named = {name: each for each in file.objects if (name := _name(each, kind)) is not None}
            if file.listed is not None and path.stem == kind.plural:
                lists.append((max([file.listed, *map(_version, named.values())]), set(named)))
            for name, each in named.items():
                if each["apiVersion"] != kind.api_version:
                    others.add(name)
                elif name not in newest or _version(each) >= _version(newest[name]):
                    newest[name] = each
        if others - newest.keys():
            return None
        for at, names in lists:
            newest = {name: each for name, each in newest.items() if name in names or not 0 <= _version(each) < at}
        return _Found(newest, next(iter(unread.values()), None))

    def _file(self, path: Path) -> _File | str:
        """Return what a file holds, or why it cannot be read."""
        if path not in self._read:
            try:
                self._read[path] = _parsed(read_bytes(path, most=MOST_BYTES), complete=path.suffix == ".json")
            except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
                why = "it is not YAML"
                if isinstance(error, OSError | _CutError):
                    why = getattr(error, "strerror", None) or str(error)
                self._read[path] = f"{path.relative_to(self.path)} of {self.name} cannot be read: {why}"
        return self._read[path]


class _CutError(ValueError):
    """A file of which a part is missing."""


def _parsed(content: bytes, *, complete: bool) -> _File:
    """Return what a file holds. Raises _CutError for what oc did not write to its end, and errors of YAML."""
    if not content.strip():
        raise _CutError("it is empty")
    # What was cut off is often YAML still: oc ends every line, and writes a list's kind behind its items.
    if not complete and not content.endswith(b"\n") and not content.lstrip().startswith(b"{"):
        raise _CutError("it is cut off")
    # must-gather of KubeVirt writes some files by kubectl, with more than one document.
    documents = [each for each in yaml.load_all(content, _Loader) if each is not None]
    if not documents or not all(isinstance(each, dict) and isinstance(each.get("kind"), str) for each in documents):
        raise _CutError("it is cut off")
    found: list[Object] = []
    listed = None
    for each in documents:
        if "items" in each and each["kind"].endswith("List"):
            found += _items(each)
            listed = max(listed or 0, _version(each))
        else:
            found.append(each)
    return _File(tuple(found), listed)


def _items(listed: Object) -> list[Object]:
    """Return the objects of a list, each with its kind: in a list of one kind, none has it."""
    kind = listed["kind"].removesuffix("List")
    own = {"apiVersion": listed.get("apiVersion"), "kind": kind} if kind else {}
    items = listed["items"] if isinstance(listed["items"], list) else []
    return [own | each for each in items if isinstance(each, dict)]


def _name(each: Object, kind: Kind) -> str | None:
    """Return the name of an object of this kind, in whichever version; None of any other."""
    try:
        name = in_form(each)["metadata"].get("name")
    except (KeyError, TypeError):
        return None
    ours = each.get("kind") == kind.kind and isinstance(each.get("apiVersion"), str)
    return name if ours and isinstance(name, str) else None


def _version(each: Object) -> int:
    """Return when an object was changed, or a list read, as the cluster counts; -1 where it does not say so."""
    metadata = each.get("metadata")
    said = str(metadata.get("resourceVersion")) if isinstance(metadata, dict) else ""
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else -1


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
        one = found.objects.get(name)
        if one is None and found.unread:
            raise ClusterError("not-gathered", found.unread)
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
            yield from _whole(found)
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
            yield from _whole(found)

    def _in(self, kind: Kind, namespace: str | None) -> _Found | None:
        return None if self._folder is None else self._folder.objects(kind, namespace)

    def _without(self, kind: Kind) -> bool:
        """Tell whether the cluster is known not to serve a kind: all definitions were gathered, and none is its own."""
        own = f"{kind.plural}.{kind.group}"
        return self._all_definitions and "." in kind.group and own not in self._definitions

    @property
    def _definitions(self) -> set[str]:
        found = self._in(DEFINITION, None)
        return set(found.objects) if found else set()

    @property
    def _all_definitions(self) -> bool:
        # KubeVirt's own must-gather takes those of KubeVirt alone.
        found = self._in(DEFINITION, None)
        return found is not None and _OF_OPENSHIFT in found.objects and found.unread is None

    def _not_served(self, kind: Kind) -> None:
        if self._without(kind):
            message = f"the definitions in {self._where} have none of {kind}; its operator is not installed"
            raise ClusterError("not-served", message)

    def _lacks(self, what: str) -> NoReturn:
        raise ClusterError("not-gathered", f"{self._where} does not hold {what}")

    @property
    def _where(self) -> str:
        return "the folder" if self._folder is None else self._folder.name


def _whole(found: _Found) -> Iterator[Object]:
    """Yield all objects of a kind. Raises ClusterError where some cannot be read."""
    if found.unread:
        raise ClusterError("not-gathered", found.unread)
    yield from found.objects.values()


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


def read(path: Path, *, called: str | None = None) -> Folder:
    """Find what is in a folder; its files are read when they are asked for. `called` names what it was packed in.

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
    return Folder(path, max(at, default=None), {key: tuple(each) for key, each in files.items()}, called or path.name)


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
