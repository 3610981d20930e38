"""`mignet preview`, `up` and `destroy`: what changes clusters, and what it would do."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from config.finding import folded
from mignet.commands.arguments import (
    APPLY,
    CHANGES,
    CONFIGURATION,
    DECLINED,
    UNCHANGED,
    AllowNotJudged,
    AsJson,
    EngineChoice,
    Many,
    PlanChoice,
    Verbose,
    Yes,
    agrees,
    failure,
    json_or,
    mistake,
    over_many,
    project_in,
    say_once,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.files.project_files import Project
    from mignet.fleet.results import Checked
    from mignet.kube.diff import Report
    from mignet.operations.apply import Verb

Form = Literal["table", "json", "markdown"]

app = typer.Typer()


@app.command(
    rich_help_panel=APPLY, epilog="As kubectl diff --server-side, or pulumi preview. Example: mignet preview prod-1"
)
@over_many
def preview(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    output: PlanChoice = "table",
    verbose: Verbose = False,
    expect_no_changes: Annotated[bool, typer.Option("--expect-no-changes", help="Exit 7 if there are any.")] = False,
) -> None:
    """Show what up would do, field by field, from a dry run of the API server."""
    reports = _run("preview", many, engine=engine, form=json_or(output, as_json=as_json), verbose=verbose)
    _finish(reports, changes_code=CHANGES if expect_no_changes else 0)


@app.command(
    rich_help_panel=APPLY,
    epilog="As kubectl apply --server-side, or pulumi up. Example: mignet up --all --canary prod-1",
)
@over_many
def up(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    output: PlanChoice = "table",
    verbose: Verbose = False,
    yes: Yes = False,
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight", help="Do not look first whether the clusters are fit.")
    ] = False,
    allow_not_judged: AllowNotJudged = False,
    wait_for_migrations: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="How long a change that restarts virt-handlers waits for migrations to end."
        ),
    ] = 600.0,
    force: Annotated[bool, typer.Option("--force", help="Also while migrations run, which fail then.")] = False,
    canary: Annotated[
        list[str] | None,
        typer.Option("--canary", metavar="STACK", help="Apply and verify this one (a name, pattern, labels) first."),
    ] = None,
    no_waves: Annotated[
        bool, typer.Option("--no-waves", help="All at once, and without verify, whatever Pulumi.yaml says.")
    ] = False,
) -> None:
    """Look whether the clusters are fit, make them hold what the stacks declare, and read it back.

    With waves in Pulumi.yaml or --canary, a wave is verified before the next one starts.
    """
    if canary and no_waves:
        mistake("--canary", "and --no-waves exclude each other", "Give one of them")
    reports = _run(
        "up",
        many,
        engine=engine,
        form=json_or(output, as_json=as_json),
        verbose=verbose,
        yes=yes,
        skip_preflight=skip_preflight,
        allow_not_judged=allow_not_judged,
        wait_for_migrations=wait_for_migrations,
        force=force,
        canary=None if no_waves else canary or (),
    )
    _finish(reports)


@app.command(rich_help_panel=APPLY, epilog="As kubectl delete, or pulumi destroy. Example: mignet destroy prod-1")
@over_many
def destroy(
    many: Many,
    *,
    engine: EngineChoice = "auto",
    as_json: AsJson = False,
    verbose: Verbose = False,
    yes: Yes = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also while migrations run, or somebody else names the network.")
    ] = False,
) -> None:
    """Delete what is ours, and release the fields of the HyperConverged, which return to their defaults."""
    form: Form = "json" if as_json else "table"
    _finish(_run("destroy", many, engine=engine, form=form, verbose=verbose, yes=yes, force=force))


def _run(
    verb: Verb,
    many: Many,
    *,
    engine: str,
    form: Form,
    verbose: bool,
    yes: bool = False,
    skip_preflight: bool = False,
    allow_not_judged: bool = False,
    canary: Sequence[str] | None = None,
    force: bool = False,
    wait_for_migrations: float = 600.0,
) -> list[Report]:
    """Run a verb on stacks and show how it went; `canary` None goes in no waves."""
    import asyncio

    from mignet.commands.selection import pick, waves_of
    from mignet.fleet.loading import Readable, load, load_readable
    from mignet.operations import apply
    from mignet.operations.run import Job, carry_out

    project = project_in(many.cwd)
    if verb != "preview" and not yes and not sys.stdin.isatty():
        mistake(verb, "asks before it changes anything", "Add --yes to run without the question")
    picked = pick(project, verb, many)
    if verb == "preview":
        readable = load_readable(project, picked.names, together=True)
    else:
        stacks = load(project, picked.names)
        readable = Readable(tuple(stacks), remarks=tuple(apply.check_fleet(project, stacks) if verb == "up" else ()))
    for line in readable.remarks:
        typer.secho(line, fg="yellow", err=True)
    waves = [] if canary is None else waves_of(project, picked.names, canary=canary)
    taken, remark = apply.choose_engine(engine)
    say_once(project, remark)
    if skip_preflight:
        names = ", ".join(picked.names)
        unseen = f"--skip-preflight: no check of rights, APIs, NICs, ranges and owners on {names}"
        typer.secho(unseen, fg="yellow", err=True)
    with picked.under_way(taken) as course:
        readable.tell(course)
        job = Job(
            project,
            verb,
            taken,
            course,
            agreed=None if yes else partial(_agreed, verb, verbose=verbose),
            fitness=None if skip_preflight else _show_fitness,
            waves=waves,
            timeout=many.timeout,
            allow_not_judged=allow_not_judged,
            force=force,
            wait_for_migrations=wait_for_migrations,
        )
        found = asyncio.run(carry_out(job, readable.stacks))
    reports = [found[name] if name in found else readable.report(name, verb, taken) for name in picked.names]
    _show(project, verb, reports, form, verbose=verbose)
    if any(report.declined for report in reports):
        typer.echo(UNCHANGED, err=form != "table")
        raise typer.Exit(DECLINED)
    if readable.refused:
        raise typer.Exit(CONFIGURATION)
    return reports


def _show(project: Project, verb: Verb, reports: Sequence[Report], form: Form, *, verbose: bool) -> None:
    from mignet.outputs import as_json, plan_markdown
    from mignet.outputs.terminal import show

    if form == "json":
        sys.stdout.write(as_json.reports(project, verb, reports))
    elif form == "markdown":
        sys.stdout.write(plan_markdown.render(reports) + "\n")
    # What was declined stands above the question.
    elif carried_out := [report for report in reports if not report.declined]:
        show(carried_out, verbose=verbose)


def _agreed(verb: Verb, planned: Sequence[Report], *, verbose: bool) -> bool:
    from mignet.outputs.terminal import show

    changing = any(report.changed for report in planned)
    if changing:
        show(planned, err=True, planned=True, verbose=verbose)
    return not changing or agrees(f"{verb}?")


def _show_fitness(checked: Checked) -> None:
    """Show what preflight found that stops nothing."""
    for finding in folded(checked.findings):
        # Who owns what is taken over stands in the plan.
        if not finding.blocks and finding.severity != "info":
            kind = "waived" if finding.waived is not None else finding.severity
            typer.secho(f"{kind}: {finding}", fg="yellow" if kind == "warning" else None, err=True)
    for remark in checked.left_out:
        typer.secho(str(remark), fg="yellow", err=True)


def _finish(reports: Sequence[Report], *, changes_code: int = 0) -> None:
    if any(report.error for report in reports):
        raise typer.Exit(failure(each for report in reports for each in report.findings))
    if any(report.changed for report in reports):
        raise typer.Exit(changes_code)
