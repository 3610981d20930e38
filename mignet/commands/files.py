"""`mignet check`, `render`, `schema`, `new` and `init`: what is about stack files."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from config.files.file_text import write_whole
from config.files.project_files import Project
from config.finding import UserError
from mignet.commands.arguments import (
    CONFIGURATION,
    IN_FILES,
    All,
    Cwd,
    OutputChoice,
    Select,
    Stacks,
    answers_mistakes,
    chosen,
    mistake,
    project_in,
    warn,
)

if TYPE_CHECKING:
    from mignet.operations.init import Wanted

app = typer.Typer()
Kind = Literal[
    "CheckResult",
    "DiagnosisResult",
    "PlanResult",
    "DriftResult",
    "PeersResult",
    "CheckupResult",
    "AddressPlan",
    "ReportResult",
    "LimitsResult",
    "CapacityResult",
    "MigrationsResult",
    "HistoryResult",
    "RunRecord",
    "Change",
]
"""What verbs print as JSON."""


@app.command(rich_help_panel=IN_FILES, epilog="As kubeconform, for stack files. Example: mignet check --strict")
@answers_mistakes
def check(
    stacks: Stacks = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Check every stack that has a file; so does naming none.")
    ] = False,
    select: Select = None,
    output: OutputChoice = "table",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 2 on warnings, too.")] = False,
    cwd: Cwd = Path(),
) -> None:
    """Check stack files, each by itself and against all others, without any cluster; exit 2 if one must not run."""
    from mignet.checks.stack_files import check as run_check
    from mignet.outputs import RENDER

    project = project_in(cwd)
    checked = run_check(project, chosen(project, stacks, all_=all_ or not (stacks or select), select=select))
    typer.echo(RENDER[output](checked, Path.cwd()), nl=False)
    if checked.blocks or (strict and checked.warns):
        raise typer.Exit(CONFIGURATION)


@app.command(
    rich_help_panel=IN_FILES,
    epilog="As kustomize build. Example: mignet render prod-1",
)
def render(
    stacks: Stacks = None,
    *,
    all_: All = False,
    select: Select = None,
    cwd: Cwd = Path(),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write one file a stack into this folder.")
    ] = None,
    tool: Annotated[
        Literal["argocd"] | None,
        typer.Option("--for", help="Add its annotations: nothing is pruned or deleted, and the order is kept."),
    ] = None,
) -> None:
    """Write the manifests for GitOps: apply them server-side, with field manager migration-network."""
    from mignet.fleet.loading import load
    from mignet.operations import apply, manifests

    project = project_in(cwd)
    loaded = load(project, chosen(project, stacks, all_=all_, select=select))
    for line in apply.check_fleet(project, loaded):
        typer.secho(line, fg="yellow", err=True)
    for stack in loaded:
        text = manifests.as_yaml(stack.name, apply.declare(project, stack), tool=tool)
        if output is None:
            sys.stdout.write(text)
        else:
            path = output / f"{stack.name}.yaml"
            write_whole(path, text)
            typer.echo(f"wrote {path}")


@app.command(rich_help_panel=IN_FILES, epilog="Example: mignet schema --write")
def schema(
    *,
    write: Annotated[bool, typer.Option("--write", help="Write stack.schema.json beside Pulumi.yaml.")] = False,
    output: Annotated[
        Kind | None, typer.Option("--output", help="Print that of what verbs print as JSON, by kind.")
    ] = None,
    cwd: Cwd = Path(),
) -> None:
    """Print the JSON Schema of the stack files, by which editors complete and check their keys."""
    # The models read their documentation when they are imported, and only if somebody wants it.
    os.environ["MIGNET_FIELD_DOCS"] = "1"
    if output is not None:
        from mignet.outputs import documents

        sys.stdout.write(documents.schema_text(output))
        return
    from config.files import stack_schema

    project = Project.find(cwd.resolve())
    text = json.dumps(stack_schema.stack_schema(project.name), indent=2) + "\n"
    if not write:
        sys.stdout.write(text)
        return
    path = project.directory / stack_schema.FILE
    write_whole(path, text)
    typer.echo(f"wrote {path}")


Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="Its path; else $KUBECONFIG or ~/.kube/config at each use.")
]
Namespace = Annotated[str, typer.Option("--namespace", help="KubeVirt's own; kubevirt-hyperconverged upstream.")]
Master = Annotated[str | None, typer.Option("--master", help="The NIC for migration, on every node.")]
Vlan = Annotated[
    str | None, typer.Option("--vlan", metavar="ID", help="Make a VLAN on the NIC or the bond; the tag of a localnet.")
]
BondOf = Annotated[
    str | None,
    typer.Option(
        "--bond", metavar="NIC,NIC[:MODE]", help="Make a bond of NICs; active-backup needs nothing of a switch."
    ),
]
LocalnetName = Annotated[
    str | None, typer.Option("--localnet", metavar="NAME", help="Use a bridge mapping of OVN in place of a NIC.")
]
UplinkFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--uplink-from",
        metavar="POLICY",
        help="Read the uplink from a NodeNetworkConfigurationPolicy of the cluster; repeat it for groups of nodes.",
    ),
]


_NEXT = {
    "component": "Next: pulumi install there, and in a program of yours: pulumi package add {folder}",
    "policy-pack": "Next: pulumi install there, and for a program of anybody: pulumi preview --policy-pack {folder}",
}


@app.command(rich_help_panel=IN_FILES, epilog="As pulumi new. Example: mignet new prod-net --from-cluster prod-1")
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or an empty one.")],
    *,
    from_cluster: Annotated[
        str | None,
        typer.Option(
            "--from-cluster", metavar="CONTEXT", help="Write the stack file of this cluster, too, as init does."
        ),
    ] = None,
    stack: Annotated[str | None, typer.Option("--stack", help="That stack's name; else it is the context's.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The project's name, with which keys of stack files begin.")
    ] = None,
    kind: Annotated[
        Literal["project", "component", "policy-pack"],
        typer.Option("--kind", help="A project; the component for other languages; or policies for others' programs."),
    ] = "project",
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = "openshift-cnv",
    master: Master = None,
    vlan: Vlan = None,
    bond: BondOf = None,
    localnet: LocalnetName = None,
) -> None:
    """Write a project of your own: Pulumi.yaml, the program, a pinned requirement, a workflow for a CI."""
    from mignet.operations import new_links, new_project
    from mignet.operations.init import Wanted

    if kind != "project":
        if from_cluster or stack or name:
            rule = "are for a project, which this is not"
            mistake("--from-cluster, --stack and --name", rule, "Leave them out, or --kind")
        files = new_project.create(folder, kind=kind)
        typer.echo(f"wrote {folder}: {', '.join(files)}")
        typer.echo(_NEXT[kind].format(folder=folder))
        return
    links = new_links.read(master=master, vlan=vlan, bond=bond, localnet=localnet)
    if from_cluster is None and links != new_links.Links():
        rule = "are for a stack file, and without --from-cluster none is written"
        mistake("--master, --vlan, --bond and --localnet", rule, "Add --from-cluster CONTEXT, or give them to init")
    stack = stack or from_cluster
    if stack and not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack):
        mistake(f"--stack {stack}", "is no name of a stack", "Name it with --stack: letters, digits, dots, dashes")
    files = new_project.create(folder, name=name or new_project.NAME)
    typer.echo(f"wrote {folder}: {', '.join(files)}")
    there = "" if folder.resolve() == Path.cwd() else f", in {folder}"
    if not (stack and from_cluster):
        typer.echo(
            f"Next{there}: write your segment into Pulumi.yaml, and the first stack file: "
            "mignet init STACK --context CONTEXT --from-cluster"
        )
        return
    try:
        _init(Project.find(folder.resolve()), stack, Wanted(from_cluster, kubeconfig, namespace, links), look=True)
    except (UserError, typer.Exit):
        typer.echo(
            f"{folder} is there; go on in it: mignet init {stack} --context {from_cluster} --from-cluster", err=True
        )
        raise
    typer.echo(f"Next{there}: see whether Pulumi.yaml has your segment; mignet preview {stack}")
    typer.echo(f"Or with Pulumi alone: pulumi install; pulumi stack init {stack}; pulumi preview")


@app.command(
    rich_help_panel=IN_FILES,
    epilog="As pulumi stack init, with the file. Example: mignet init prod-2 --context prod-2 --from-cluster",
)
def init(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="The new stack.")],
    *,
    context: Annotated[str, typer.Option("--context", help="A context of the kubeconfig.")],
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = "openshift-cnv",
    master: Master = None,
    vlan: Vlan = None,
    bond: BondOf = None,
    localnet: LocalnetName = None,
    uplink_from: UplinkFrom = None,
    site: Annotated[
        str | None,
        typer.Option("--site", metavar="NAME", help="The site that it is in, of segment.sites in Pulumi.yaml."),
    ] = None,
    from_cluster: Annotated[
        bool, typer.Option("--from-cluster", help="Look at the live cluster for its NICs, nodes and networks.")
    ] = False,
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, max=5000, help="Nodes that run virt-handler.")] = None,
    cwd: Cwd = Path(),
) -> None:
    """Write a commented, valid stack file for a new cluster; one that exists is never overwritten."""
    from mignet.fleet import stack_files
    from mignet.operations import new_links
    from mignet.operations.init import Wanted

    policies = tuple(uplink_from or ())
    links = new_links.read(master=master, vlan=vlan, bond=bond, localnet=localnet, policies=policies)
    if policies and not from_cluster:
        mistake("--uplink-from", "is read from the cluster", "Add --from-cluster")
    project = Project.find(cwd.resolve())
    if project.stack_file(stack).exists() and stack_files.unset(project, stack) is None:
        raise stack_files.exists(project, stack)
    if not from_cluster and (master, bond, localnet) == (None, None, None):
        remedy = "Name the NIC (or --bond, or --localnet), or say --from-cluster to see which ones there are"
        mistake("--master", "is required", remedy)
    _init(project, stack, Wanted(context, kubeconfig, namespace, links, nodes, site), look=from_cluster)


def _init(project: Project, stack: str, wanted: Wanted, *, look: bool) -> None:
    """Write the file of a new stack; with `look`, ask the cluster first."""
    from mignet.fleet.history import writing
    from mignet.kube.client import ClusterError
    from mignet.operations import init as work

    seen, chosen = work.Seen(), None
    if look:
        try:
            seen = work.look(project, stack, wanted)
        except ClusterError as error:
            typer.secho(f"{stack}: {error}", fg="red", err=True)
            raise typer.Exit(1) from error
        for line in seen.lines:
            typer.echo(line)
        chosen = work.choose(stack, wanted, seen)
    with writing(project, "init", [stack], warn):
        remark = work.write(project, stack, wanted, seen, chosen, on_wait=_waiting)
    typer.echo(f"wrote {project.stack_file(stack).name}: {remark}")


def _waiting() -> None:
    typer.echo("another mignet is writing stack files; waiting for it", err=True)
