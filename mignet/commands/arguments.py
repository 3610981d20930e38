"""Arguments and options that several commands have."""

from __future__ import annotations

import fnmatch
import inspect
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar, get_type_hints

import typer

from config.files.project_files import Project
from config.finding import ConfigError, Finding, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mignet.fleet.results import Checked
    from mignet.outputs import Output

Form = TypeVar("Form", bound=str)

FAILED, CONFIGURATION, CHANGES, DECLINED = 1, 2, 7, 8
"""Exit codes; 0 is fine."""
EXIT_CODES = {
    0: "fine",
    FAILED: "failed or stopped: a cluster cannot be reached, is not fit, or refuses; or a rule could not be judged",
    CONFIGURATION: "configuration: a mistake in the stack files or on the command line; nothing was changed",
    CHANGES: "changes or drift where none were expected",
    DECLINED: "answered no, so that nothing was changed",
    130: "broken off by a second ctrl-c",
}
"""All of them, with what they mean."""
UNCHANGED = "nothing was changed: it was not agreed to"
"""The last line where somebody answers no."""

OTHER_CLUSTER = "cluster-other-cluster"
"""Code of the finding that a context leads to another cluster than its stack's `cluster.uid` means."""


def failure(findings: Iterable[Finding]) -> int:
    """Return the exit code of what failed: that of configuration where a context leads to another cluster."""
    return CONFIGURATION if any(each.code == OTHER_CLUSTER for each in findings) else FAILED


IN_FILES, APPLY, LOOK = "In the stack files alone", "Apply", "Look at clusters"
"""Under what `mignet --help` shows a command."""


def stack_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of stacks that begin so, for a shell: by the names of files alone, which takes no time."""
    start = Path(context.params.get("cwd") or ".").resolve()
    folder = next((each for each in (start, *start.parents) if (each / "Pulumi.yaml").exists()), None)
    names = [] if folder is None else Project(folder, "", {}).stack_names()
    return [name for name in names if name.startswith(incomplete) and name not in (context.params.get("stacks") or ())]


Stacks = Annotated[
    list[str] | None,
    typer.Argument(metavar="STACK", help="Stacks to work on, or patterns: 'prod-*'.", autocompletion=stack_names),
]
Select = Annotated[
    str | None, typer.Option("--select", "-l", help="Stacks by labels in their files: tier=canary,region!=eu.")
]
All = Annotated[bool, typer.Option("--all", help="Work on every stack that has a file.")]
EngineChoice = Annotated[
    Literal["auto", "pulumi", "direct"],
    typer.Option("--engine", help="auto takes Pulumi when its CLI is on PATH."),
]
OutputChoice = Annotated[
    Literal["table", "json", "sarif", "github", "markdown"],
    typer.Option("--output", "-o", help="For people, tools, code hosts, GitHub Actions, or a pull request."),
]
LookChoice = Annotated[
    Literal["table", "json", "sarif", "github", "markdown", "openmetrics"],
    typer.Option(
        "--output", "-o", help="For people, tools, code hosts, GitHub Actions, a pull request, or Prometheus."
    ),
]
PlanChoice = Annotated[
    Literal["table", "json", "markdown"],
    typer.Option("--output", "-o", help="For people, tools, or a pull request."),
]
OneMachine = Annotated[
    str | None, typer.Option("--vm", metavar="NAMESPACE/NAME", help="Only this virtual machine, of one stack.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --output json, where there is that.")]
CheckupAge = Annotated[
    float,
    typer.Option(
        "--checkup-age",
        min=0,
        metavar="HOURS",
        envvar="MIGNET_CHECKUP_AGE",
        help="How long the last checkup counts; what an older one measured is unknown.",
    ),
]
Cwd = Annotated[Path, typer.Option("--cwd", "-C", help="The project's folder, or one below it.")]
AllowNotJudged = Annotated[
    bool, typer.Option("--allow-not-judged", help="Accept that rules could not be judged; else that is exit code 1.")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Also what is unchanged, and this tool's own labels and annotations."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")]


@dataclass(frozen=True, slots=True)
class Many:
    """Which stacks a verb works on, and how it goes through them: what every verb over many stacks is told."""

    stacks: Stacks = None
    all_: All = False
    select: Select = None
    at_a_time: Annotated[
        int | None, typer.Option("--at-a-time", min=1, metavar="N", help="Clusters to work on at the same time.")
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0, metavar="SECONDS", help="How long each cluster may take; verify waits so long."
        ),
    ] = None
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start no other cluster after the first failure.")] = (
        False
    )
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="Take up the last run: only what it did not finish.")
    ] = False
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Keep a record of the run here, stack by stack.")
    ] = None
    cwd: Cwd = Path()


def over_many(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first argument is a Many, the options of one."""
    hints = get_type_hints(Many, include_extras=True)
    own = inspect.signature(command, eval_str=True)
    shared = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(Many)
    ]

    answering = answers_mistakes(command)

    @wraps(command)
    def with_options(**given: Any) -> None:
        answering(Many(**{each.name: given.pop(each.name) for each in shared}), **given)

    parameters = [*shared, *list(own.parameters.values())[1:]]
    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options


def answers_mistakes(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command that is asked for JSON print a document, too, when it cannot begin: with what is wrong."""

    @wraps(command)
    def answering(*many: Many, **given: Any) -> None:
        try:
            command(*many, **given)
        except UserError as error:
            if given.get("as_json") or given.get("output") == "json":
                from mignet.outputs import as_json

                folder: Path = many[0].cwd if many else given["cwd"]
                project = None
                with suppress(UserError):
                    project = Project.find(folder.resolve())
                sys.stdout.write(as_json.refusal(command.__name__, error, project))
            raise

    return answering


def project_in(cwd: Path) -> Project:
    """Return the project in a folder, or above it, which has a stack file at least.

    Raises ProjectNotFoundError, and ConfigError when there is no stack file: of no cluster, nothing is fine.
    """
    project = Project.find(cwd.resolve())
    if not project.stack_names():
        mistake(
            "Pulumi.STACK.yaml",
            f"is not there: {project.directory} has no stack file, so that there is no cluster to work on",
            "Make one: mignet init STACK --context CONTEXT --from-cluster",
        )
    return project


def chosen(project: Project, names: Sequence[str] | None, *, all_: bool, select: str | None = None) -> list[str]:
    """Return the stacks that are meant; the only one when none is named. Raises ConfigError.

    A selector of labels chooses among those named, or among all. A name without a pattern need not have a file here.
    """
    known = project.stack_names()
    if all_ and names:
        mistake("--all", "and names of stacks exclude each other", "Give one of them")
    if select is not None:
        among = _named(names, known) if names else known
        return _selected(project, among, select)
    if all_:
        return known
    if names:
        return _named(names, known)
    if len(known) == 1:
        return known
    mistake("STACK", "is required", f"Name one of: {', '.join(known)}; or --all")


def json_or(output: Form, *, as_json: bool) -> Form | Literal["json"]:
    """Return the form that --output and --json ask for together. Raises ConfigError when they are two."""
    if as_json and output != "table":
        mistake("--json", "and --output exclude each other", "Give one of them")
    return "json" if as_json else output


def machine_of(option: str, machine: str, *, stacks: int) -> str:
    """Return a virtual machine that an option names, of the only one of so many stacks. Raises ConfigError."""
    if machine.count("/") != 1 or not all(machine.split("/")):
        mistake(f"{option} {machine}", "is not NAMESPACE/NAME", "Write it as my-namespace/my-vm")
    if stacks != 1:
        mistake(option, "is about one cluster", "Name one stack")
    return machine


def show(form: Output, checked: Checked, *, document: Callable[[], str], lines: Callable[[], Iterable[str]]) -> None:
    """Print what a look found: its document as JSON, or its findings, in a table after lines of its own."""
    from mignet.outputs import RENDER

    if form == "json":
        sys.stdout.write(document())
        return
    if form == "table":
        for line in lines():
            typer.echo(line)
    typer.echo(RENDER[form](checked, Path.cwd()), nl=False)


def conclude(checked: Checked, *, refused: bool, allow_not_judged: bool) -> None:
    """End a look at clusters with its exit code; `refused` is whether a stack could not be read."""
    if refused:
        raise typer.Exit(CONFIGURATION)
    if checked.blocks or (checked.not_judged and not allow_not_judged):
        raise typer.Exit(failure(checked.findings))


def say_once(project: Project, remark: str | None) -> None:
    """Say something on stderr the first time that it is said of a project on this machine."""
    if not remark:
        return
    from mignet.fleet.journal import place

    said = place(project, "said").with_suffix("")
    with suppress(OSError):
        if remark in said.read_text(encoding="utf-8").splitlines():
            return
    typer.echo(remark, err=True)
    with suppress(OSError):
        said.parent.mkdir(parents=True, exist_ok=True)
        with said.open("a", encoding="utf-8") as file:
            file.write(f"{remark}\n")


def warn(line: str) -> None:
    """Say on stderr what is wrong and stops nothing."""
    typer.secho(line, fg="yellow", err=True)


def agrees(question: str) -> bool:
    """Ask on the terminal; an empty answer is a no, and so is the end of the input."""
    # typer's own writes a part of its prompt to stdout, where a report may follow.
    typer.echo(f"{question} [y/N]: ", err=True, nl=False)
    answer = sys.stdin.readline()
    if not answer:
        typer.echo(err=True)
    return answer.strip().lower() in {"y", "yes"}


def mistake(key: str, rule: str, remedy: str) -> NoReturn:
    """Refuse a command line. Raises ConfigError."""
    raise ConfigError([Finding(key, None, rule, remedy, code="usage", stack="mignet")])


def _named(names: Sequence[str], known: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        if not re.search(r"[*?\[]", name):
            found[name] = None
            continue
        hits = fnmatch.filter(known, name)
        if not hits:
            mistake(f"STACK {name}", "matches no stack that has a file", f"Stacks: {', '.join(known)}")
        found |= dict.fromkeys(hits)
    return list(found)


def _selected(project: Project, names: Sequence[str], selector: str) -> list[str]:
    # Only here: `mignet schema` says how models are to be read before the first of them is imported.
    from config.selection import is_selector, selects

    if not is_selector(selector):
        mistake(f"--select {selector}", "is no selector of labels", "Write it as tier=canary,region!=eu")

    def meant(name: str) -> bool:
        try:
            return selects(selector, labels_of(project, name))
        except ConfigError:
            # Nobody knows its labels: who reads it says why, rather than leave it out in silence.
            return True

    found = [name for name in names if meant(name)]
    if not found:
        mistake(f"--select {selector}", "selects no stack", "Labels stand in the stack files, under labels")
    return found


def labels_of(project: Project, name: str) -> Mapping[str, str]:
    """Return the labels in a stack's file. Raises ConfigError when it cannot be read."""
    from config.selection import Labels
    from config.types.model import parse

    labels = parse(Labels, project.stack_values(name).get("labels") or {}, stack=name, key="labels")
    if isinstance(labels, Labels):
        return labels.root
    raise ConfigError(labels)
