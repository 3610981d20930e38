"""`--from`: have a verb look at what was kept of clusters, in an archive or a folder of must-gather."""

from __future__ import annotations

import contextlib
import inspect
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mignet.commands.arguments import Many, chosen, mistake, project_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mignet.evidence.archive import Archive
    from mignet.evidence.must_gather import Folders

From = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="[STACK=]PATH",
        help="Look at no cluster, but at what mignet gather, oc adm must-gather or oc adm inspect wrote.",
    ),
]
_CHANGING = {"fix": "--fix", "migrate": "--migrate", "to": "--to"}
"""What no look at what was kept can do."""


def looks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that only looks the option `--from`."""
    own = inspect.signature(command, eval_str=True)

    @wraps(command)
    def looking(*many: Many, from_: list[str] | None = None, **given: Any) -> None:
        if not from_:
            command(*many, **given)
            return
        for name, option in _CHANGING.items():
            if given.get(name):
                mistake(option, "and --from exclude each other", "Leave one of them out: nothing kept can be changed")
        if "engine" in given:
            given["engine"] = "direct"
        asked = many[0] if many else Many(given["stacks"], all_=given["all_"], select=given["select"], cwd=given["cwd"])
        with _kept(from_, asked) as (asked, lenient):
            # What a folder lacks is no failure of the cluster's.
            given["allow_not_judged"] = given["allow_not_judged"] or lenient
            if many:
                command(asked, **given)
            else:
                command(**given | {"stacks": asked.stacks, "all_": asked.all_, "cwd": asked.cwd})

    option = inspect.Parameter("from_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=From)
    parameters = [*own.parameters.values(), option]
    looking.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    looking.__annotations__ = {each.name: each.annotation for each in parameters}
    return looking


@contextlib.contextmanager
def _kept(given: Sequence[str], asked: Many) -> Iterator[tuple[Many, bool]]:
    """Have the looks inside see what was kept; yield what is asked then, and whether it may lack something."""
    from mignet.kube.source import looking_at

    with tempfile.TemporaryDirectory(prefix="mignet-from-") as scratch:
        folder = Path(scratch)
        if len(given) == 1 and (archive := _archive(Path(given[0]))):
            source: Archive | Folders = replace(archive, state=folder / "runs")
            asked, lenient = _unpacked(archive, folder, asked), False
            said = (
                f"gathered {archive.at:%Y-%m-%d %H:%M} UTC by mignet {archive.versions.get('migration-network', '?')}"
            )
        else:
            asked = _of_those_named(given, asked)
            source, lenient = replace(_folders(given, asked, folder), state=folder / "runs"), True
            said = (
                f"gathered {source.at:%Y-%m-%d %H:%M} UTC" if source.at else "gathered at a time that it does not say"
            )
        typer.echo(f"looking at {', '.join(given)} ({said}), and at no cluster", err=True)
        with looking_at(source):
            yield asked, lenient


def _archive(path: Path) -> Archive | None:
    """Return the archive in a file; None for a folder, and for what was packed of one."""
    from mignet.evidence.archive import read

    if not path.is_file() or _is_zip(path):
        return None
    with contextlib.suppress(*_UNREAD), tarfile.open(path, "r:*") as tar:
        if (first := tar.next()) is not None and first.name != "archive.json":
            return None
    return read(path)


def _unpacked(archive: Archive, folder: Path, asked: Many) -> Many:
    """Write the project of an archive into a folder; return what is asked, about all of it where nothing is named."""
    for name, text in {**archive.project, **{f"runs/{name}": text for name, text in archive.runs.items()}}.items():
        path = folder / name
        # The archive may be of anybody: a name is no way to another folder.
        if path.parent not in {folder, folder / "runs", folder / "runs" / "history"} or ".." in path.parts:
            mistake("--from", f"holds a file with the name {name}", "Gather it anew")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    named = asked.stacks or asked.all_ or asked.select
    return replace(asked, cwd=folder, stacks=asked.stacks if named else list(archive.stacks))


def _of_those_named(given: Sequence[str], asked: Many) -> Many:
    """Return what is asked: where no stack is named, about those that folders are given of."""
    named = [stack for stack, equals, _ in (each.partition("=") for each in given) if equals]
    if asked.stacks or asked.all_ or asked.select or len(named) < len(given):
        return asked
    return replace(asked, stacks=list(dict.fromkeys(named)))


def _folders(given: Sequence[str], asked: Many, scratch: Path) -> Folders:
    """Return a folder for each stack that is named."""
    from mignet.evidence.must_gather import Folders, read
    from mignet.evidence.recording import name_of
    from mignet.fleet.loading import load

    project = project_in(asked.cwd)
    names = chosen(project, asked.stacks, all_=asked.all_, select=asked.select)
    paths: dict[str, Path] = {}
    for each in given:
        stack, equals, path = each.partition("=")
        if not equals:
            if len(names) != 1 or len(given) != 1:
                mistake(
                    f"--from {each}", "is of one cluster, and several are meant", "Write --from STACK=FOLDER for each"
                )
            stack, path = names[0], each
        if stack not in project.stack_names():
            mistake(f"--from {each}", f"names {stack}, which has no stack file", "Name one that has")
        paths[stack] = Path(path)
    stacks = load(project, list(paths))
    folders = {
        name_of(stack.cluster): read(_opened(path, scratch / f"packed-{stack.name}"), called=path.name)
        for stack in stacks
        for path in (paths[stack.name],)
    }
    return Folders(folders)


def _opened(path: Path, scratch: Path) -> Path:
    """Return a folder, unpacked first where it is packed: so must-gather goes to support."""
    if path.is_dir():
        return path
    try:
        (_unzip if _is_zip(path) else _untar)(path, scratch)
    except _UNREAD as error:
        why = error.strerror if isinstance(error, OSError) else None
        if isinstance(error, EOFError):
            why = "it ends too early, as after a transfer that broke off"
        elif isinstance(error, NotImplementedError) or (isinstance(error, RuntimeError) and "encrypted" in str(error)):
            why = "it is encrypted, or packed in a way that is not known here: unpack it first"
        remedy = "Give what mignet gather, oc adm must-gather or oc adm inspect wrote"
        mistake(f"--from {path}", f"cannot be read: {why or 'it is neither an archive nor a folder'}", remedy)
    return scratch


_KEPT = (".yaml", ".yml", ".json", "timestamp")
"""How names of files end that are looked into."""
_UNREAD = (
    OSError,
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    ValueError,
)
"""What a packed folder leads to that is none, or is damaged."""


def _is_zip(path: Path) -> bool:
    # What cannot be read is said by who reads it.
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
    return False


def _untar(path: Path, scratch: Path) -> None:
    with tarfile.open(path, "r:*") as tar:
        wanted = [member for member in tar if member.isreg() and member.name.endswith(_KEPT)]
        tar.extractall(scratch, wanted, filter="data")


def _unzip(path: Path, scratch: Path) -> None:
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            if name.endswith(_KEPT):
                # It leaves roots and `..` out of a name.
                packed.extract(name, scratch)
