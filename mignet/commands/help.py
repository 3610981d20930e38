"""`mignet help` and `mignet --version`: what a code means, and what is installed."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mignet.commands.arguments import EXIT_CODES, mistake
from mignet.outputs.topics import topics

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer()
UPGRADE = "upgrade"
_HOW = (
    "Write the new version into requirements.txt, and run `pulumi install`, or `.venv/bin/pip install -r"
    " requirements.txt` without Pulumi. An installed mignet: `pipx upgrade migration-network`. Then look at what the"
    " new version would change: `mignet preview --all`."
)


@app.command("help", rich_help_panel="Try, and hand over", epilog="As oc explain. Example: mignet help slice-overlap")
def explain(
    context: typer.Context,
    topic: Annotated[
        str | None, typer.Argument(metavar="TOPIC", help="A finding's code, an exit code, a verb, or upgrade.")
    ] = None,
) -> None:
    """Explain a finding's code or an exit code, say how to upgrade, or list the topics."""
    above = context.parent
    verbs: dict[str, Any] = getattr(above.command, "commands", {}) if above else {}
    codes = topics()["codes"]
    if topic is None:
        typer.echo("\n".join(_list(verbs, codes)))
    elif topic in codes:
        typer.echo("\n".join(_code(topic, codes[topic])))
    elif topic.isdecimal() and int(topic) in EXIT_CODES:
        typer.echo(f"Exit code {topic}: {EXIT_CODES[int(topic)]}.")
    elif topic == UPGRADE:
        typer.echo("\n".join(_upgrade()))
    elif topic in verbs:
        typer.echo(verbs[topic].get_help(typer.Context(verbs[topic], info_name=topic, parent=above)))
    else:
        import difflib

        near = difflib.get_close_matches(topic, [*codes, *verbs, UPGRADE], n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        mistake(f"TOPIC {topic}", "is none", f"{hint}mignet help lists them")


def show_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    """Print the versions of all that works together, and end."""
    if not wanted:
        return
    for name, version in _versions():
        typer.echo(f"{name} {version}")
    raise typer.Exit


def _versions() -> Iterator[tuple[str, str]]:
    import re
    import shutil
    import subprocess
    from importlib.metadata import version

    yield "migration-network", version("migration-network")
    yield "Pulumi SDK", version("pulumi")
    cli = shutil.which("pulumi")
    if cli is None:
        yield "Pulumi CLI", "(not on PATH)"
    else:
        # What is on PATH is the user's own.
        said = subprocess.run([cli, "version"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
        yield "Pulumi CLI", f"{said.stdout.strip().removeprefix('v') or '(does not say)'} ({cli})"
    yield "Pulumi Kubernetes provider", version("pulumi-kubernetes")
    pinned = (Path(__file__).parents[1] / "lab" / "tools" / "go.mod").read_text(encoding="utf-8")
    (lab,) = re.findall(r"^\s*k8s\.io/kubernetes v(\S+)", pinned, re.MULTILINE)
    yield "Kubernetes of the lab", lab


def _list(verbs: dict[str, Any], codes: dict[str, Any]) -> Iterator[str]:
    yield "mignet help TOPIC explains one of these."
    yield from _filled("Verbs: ", ", ".join(verbs))
    yield from _filled("Exit codes: ", ", ".join(map(str, EXIT_CODES)))
    yield f"{UPGRADE}: how to, and what each version changes in plans"
    yield from _filled("Codes of findings: ", ", ".join(sorted(codes)))


def _code(code: str, said: dict[str, str]) -> Iterator[str]:
    offline = "severity" in said
    by = (
        f"({said['severity']}), found by mignet check"
        if offline
        else "is found by preflight, verify, drift, peers, limits, migrations or checkup"
    )
    yield f"{code} {by}"
    yield from _filled("Why: ", said["why"])
    yield from _filled("Way out, for example: " if offline else "Way out: ", said["remedy"])
    yield f"More: {said['page']}"


def _upgrade() -> Iterator[str]:
    yield from _filled("", _HOW)
    for entry in topics()["plans"]:
        yield f"\nWhat {entry['version']} changes in plans:"
        for change in entry["changes"]:
            yield from _filled("- ", change)


def _filled(head: str, text: str) -> list[str]:
    return textwrap.wrap(head + text, width=100, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
