"""`mignet schema` and `mignet init`: what helps to write a stack file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from config.files.project_files import Project
from config.finding import ConfigError, Finding
from mignet.commands.arguments import IN_FILES

app = typer.Typer()

Cwd = Annotated[Path, typer.Option("--cwd", "-C", help="The project's folder, or one below it.")]


@app.command(rich_help_panel=IN_FILES)
def schema(
    *,
    write: Annotated[bool, typer.Option("--write", help="Write stack.schema.json beside Pulumi.yaml.")] = False,
    cwd: Cwd = Path(),
) -> None:
    """Print the JSON Schema of the stack files, by which editors complete and check their keys."""
    # The models read their documentation when they are imported, and only if somebody wants it.
    os.environ["MIGNET_FIELD_DOCS"] = "1"
    from config.files import stack_schema

    project = Project.find(cwd.resolve())
    text = json.dumps(stack_schema.stack_schema(project.name), indent=2) + "\n"
    if not write:
        sys.stdout.write(text)
        return
    path = project.directory / stack_schema.FILE
    path.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {path}")


@app.command(rich_help_panel=IN_FILES)
def init(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="The new stack.")],
    *,
    context: Annotated[str, typer.Option("--context", help="A context of the kubeconfig.")],
    kubeconfig: Annotated[
        str | None, typer.Option("--kubeconfig", help="Its path; else $KUBECONFIG or ~/.kube/config at each use.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", help="KubeVirt's own; kubevirt-hyperconverged upstream.")
    ] = "openshift-cnv",
    master: Annotated[str | None, typer.Option("--master", help="The NIC for migration, on every node.")] = None,
    from_cluster: Annotated[
        bool, typer.Option("--from-cluster", help="Look at the live cluster for its NICs, nodes and networks.")
    ] = False,
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, max=5000, help="Nodes that run virt-handler.")] = None,
    cwd: Cwd = Path(),
) -> None:
    """Write a commented, valid stack file for a new cluster; one that exists is never overwritten."""
    from mignet.fleet import stack_files
    from mignet.kube.client import ClusterError
    from mignet.operations import init as work

    project = Project.find(cwd.resolve())
    if project.stack_file(stack).exists():
        raise stack_files.exists(project, stack)
    if not from_cluster and master is None:
        rule, remedy = "is required", "Name the NIC, or say --from-cluster to see which ones there are"
        raise ConfigError([Finding("error", "usage", "mignet", "--master", None, rule, remedy)])
    wanted = work.Wanted(context, kubeconfig, namespace, master, nodes)
    seen, nic = work.Seen(), None
    if from_cluster:
        try:
            seen = work.look(project, stack, wanted)
        except ClusterError as error:
            typer.secho(f"{stack}: {error}", fg="red", err=True)
            raise typer.Exit(1) from error
        for each in seen.nics:
            typer.echo(f"{each.name:<15} {each}")
        kept = None if seen.kept is None else seen.kept.values["attachment"].get("master")
        named = next((each for each in seen.nics if each.name == (master or kept)), None)
        nic = work.choose(stack, seen.nics) if master is None and seen.kept is None else named
    remark = work.write(project, stack, wanted, seen, nic, on_wait=_waiting)
    typer.echo(f"wrote {project.stack_file(stack).name}: {remark}")


def _waiting() -> None:
    typer.echo("another mignet is writing stack files; waiting for it", err=True)
