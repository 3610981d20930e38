"""An archive: what clusters answered at one time, with the stack files and what the program declared, in one file.

`archive.json` says when and by what it was made; `project/` has Pulumi.yaml and the stack files, `declared/` what the
program declared for each stack, `clusters/` the answers, and `runs/` the records of earlier runs and the last checkup.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tarfile
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from config.finding import ConfigError, Finding
from mignet.evidence.asked import OPEN, Offline, as_json, from_json, given
from mignet.evidence.recording import name_of
from mignet.evidence.scrub import scrubbed, scrubbed_text
from mignet.kube.client import ClusterError, in_form
from mignet.kube.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from config.cluster import Cluster as ClusterConfig
    from mignet.evidence.asked import Outcome

FORM: Final = "migration-network/archive/v1"
"""Which form an archive has; another one is not read."""
MOST_BYTES = 4 << 30
"""Of all that an archive holds, unpacked: a cluster of 5,000 nodes has a twentieth."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_ENDS = (
    EOFError,
    IndexError,
    OSError,
    RecursionError,
    lzma.LZMAError,
    tarfile.TarError,
    zlib.error,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)
"""What a file that is no archive leads to."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive holds. It is a source of looks: `mignet.kube.source.looking_at` has the verbs see it."""

    at: datetime
    """When it was gathered, in UTC."""
    stacks: tuple[str, ...]
    """The stacks whose clusters it is about."""
    versions: Mapping[str, str]
    """Of what gathered it."""
    clusters: Mapping[str, Mapping[str, Outcome]]
    declared: Mapping[str, Any]
    project: Mapping[str, str]
    """Pulumi.yaml and the stack files, by name."""
    runs: Mapping[str, str] = field(default_factory=dict)
    """What was kept of earlier runs, by the name of its file."""
    state: Path | None = None
    """Where `runs` were written to be read, and what looks keep of themselves goes."""

    def opened(self, config: ClusterConfig, *, base: Path) -> Archived:
        """Return what stands for a cluster."""
        return Archived(config, base=base, book=self.clusters.get(name_of(config)))

    def declaration(self, stack: str) -> Mapping[str, Any] | None:
        """Return what the program declared for a stack, None where that was not kept."""
        return self.declared.get(stack)


class Archived(Offline):
    """A cluster as an archive holds it. No connection is made."""

    def __init__(self, config: ClusterConfig, *, base: Path, book: Mapping[str, Outcome] | None) -> None:
        super().__init__(config, base=base)
        self._book = book

    async def __aenter__(self) -> Self:
        if self._book is None:
            raise ClusterError("not-gathered", f"the archive holds nothing of context {self._config.context}")
        # One that fell silent later answered a part, which is told as far as it goes.
        if len(self._book) == 1 and OPEN in self._book:
            given(self._book[OPEN])
        return self

    async def answer(self, question: str, ask: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ARG002
        """Return what was answered. Raises ClusterError `not-gathered` for what nobody asked then."""
        book = self._book or {}
        if question in book:
            return given(book[question])
        if OPEN in book:
            given(book[OPEN])
        verb, what, *_ = json.loads(question) if question.startswith("[") else (question, "")
        about = f"{verb} {what if isinstance(what, str) else ''}".strip()
        raise ClusterError("not-gathered", f"the archive does not hold the answer to: {about}")


def write(path: Path, archive: Archive) -> None:
    """Write an archive, readable by its owner alone. Raises OSError."""
    head = {
        "apiVersion": FORM,
        "gathered": archive.at.strftime(_TIME),
        "versions": dict(archive.versions),
        "stacks": list(archive.stacks),
        "clusters": list(archive.clusters),
    }
    temporary = path.with_name(f".{path.name}.part")
    try:
        with (
            open(temporary, "xb", opener=_private) as file,
            gzip.GzipFile("", "wb", 6, file, int(archive.at.timestamp())) as packed,
            tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, content in _files(head, archive):
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = len(content), int(archive.at.timestamp()), 0o600
                tar.addfile(member, io.BytesIO(content))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _files(head: Mapping[str, Any], archive: Archive) -> Iterator[tuple[str, bytes]]:
    yield "archive.json", _bytes(head)
    for name, text in archive.project.items():
        yield f"project/{name}", scrubbed_text(text).encode()
    for name, text in archive.runs.items():
        yield f"runs/{name}", scrubbed_text(text).encode()
    for stack, declared in archive.declared.items():
        yield f"declared/{stack}.json", _bytes(scrubbed(declared))
    for number, kept in enumerate(archive.clusters.values()):
        # Each was looked through when it was answered.
        yield f"clusters/{number}.json", _bytes({question: as_json(outcome) for question, outcome in kept.items()})


def _bytes(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def read(path: Path) -> Archive:
    """Read an archive; nothing is unpacked to the disk. Raises ConfigError for a file that is none."""
    try:
        with tarfile.open(path, "r:*") as tar:
            return _read(tar)
    except _ENDS as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no archive of mignet gather"
        raise ConfigError([_mistake(path, f"cannot be read: {why}")]) from error


def _read(tar: tarfile.TarFile) -> Archive:
    files: dict[str, dict[str, bytes]] = {}
    left = MOST_BYTES
    for member in tar:
        folder, _, name = member.name.rpartition("/")
        # A member's name is only looked up, and never becomes a path.
        if not member.isreg() or (content := tar.extractfile(member)) is None:
            continue
        left -= member.size
        if left < 0:
            raise ValueError
        files.setdefault(folder, {})[name] = content.read()
    head = json.loads(files[""]["archive.json"])
    if head["apiVersion"] != FORM or not isinstance(head["clusters"], list):
        raise ValueError
    answers = files.get("clusters", {})
    return Archive(
        datetime.strptime(head["gathered"], _TIME).replace(tzinfo=UTC),
        tuple(map(str, head["stacks"])),
        {str(name): str(version) for name, version in head["versions"].items()},
        {
            str(name): {
                question: from_json(question, outcome)
                for question, outcome in json.loads(answers[f"{number}.json"]).items()
            }
            for number, name in enumerate(head["clusters"])
        },
        {name.removesuffix(".json"): _declared(json.loads(text)) for name, text in files.get("declared", {}).items()},
        {name: text.decode() for name, text in files["project"].items()},
        {
            f"{folder.removeprefix('runs')}/{name}".removeprefix("/"): text.decode()
            for folder in ("runs", "runs/history")
            for name, text in files.get(folder, {}).items()
        },
    )


def _declared(content: Any) -> Any:
    """Return what the program declared. Raises KeyError or TypeError for what is no such thing."""
    if "refused" not in content:
        for each in content["objects"]:
            kind_of(in_form(each["manifest"]))
            if each.keys() != {"manifest", "patch"} or not isinstance(content["outputs"], dict):
                raise TypeError
    return content


def _mistake(path: Path, rule: str) -> Finding:
    remedy = "Give what mignet gather wrote, or a folder of oc adm must-gather or oc adm inspect"
    return Finding(f"--from {path}", None, rule, remedy, code="usage", stack="mignet")
