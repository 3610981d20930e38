"""`mignet export`: hand the fleet over to the Pulumi Kubernetes Operator, a CI, or whoever keeps the firewalls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mignet.commands.arguments import All, Cwd, Stacks, chosen, mistake, project_in
from mignet.exports.operator_stacks import FLUX_KINDS, Component, Flux, Git, SecretKey, Source, Wanted, objects
from mignet.exports.text import as_yaml
from mignet.exports.workflow import workflow

if TYPE_CHECKING:
    from config.files.project_files import Project
    from config.stack import Stack

SyncPort = Annotated[
    int, typer.Option("--sync-port", min=1, max=65535, help="spec.synchronizationPort of the KubeVirt objects.")
]
HandlerPorts = Annotated[
    str, typer.Option("--handler-ports", metavar="FIRST-LAST", help="The nodes' net.ipv4.ip_local_port_range.")
]
Namespace = Annotated[str, typer.Option("--namespace", help="Where the objects live.")]
KubeconfigSecret = Annotated[
    str, typer.Option("--kubeconfig-secret", metavar="NAME", help="The Secret whose key kubeconfig has all contexts.")
]
ProjectConfigMap = Annotated[
    str, typer.Option("--project-config-map", metavar="NAME", help="The ConfigMap with the project's files.")
]

app = typer.Typer(no_args_is_help=True, help="Hand the fleet over to machines that run it without a person.")


@app.command()
def operator(
    stacks: Stacks = None,
    *,
    kubeconfig: Annotated[
        str, typer.Option("--kubeconfig-secret", metavar="NAME:KEY", help="The Secret with all clusters' contexts.")
    ],
    repository: Annotated[
        str | None, typer.Option("--repo", help="URL of the git repository with the stack files.")
    ] = None,
    flux: Annotated[
        str | None,
        typer.Option("--flux-source", metavar="KIND/NAME", help="In its place: a source that Flux fetches."),
    ] = None,
    component: Annotated[
        str | None,
        typer.Option("--component", metavar="URL", help="In its place: values inline, over the component from there."),
    ] = None,
    all_: All = False,
    branch: Annotated[str, typer.Option("--branch", help="The branch to apply.")] = "main",
    directory: Annotated[str, typer.Option("--dir", help="The project's folder in the repository.")] = "",
    namespace: Namespace = "migration-network",
    organization: Annotated[
        str, typer.Option("--organization", help="Of Pulumi Cloud; other backends know only `organization`.")
    ] = "organization",
    backend: Annotated[str | None, typer.Option("--backend", help="URL of the state backend.")] = None,
    secrets: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="VARIABLE=NAME:KEY", help="An environment variable from a Secret."),
    ] = None,
    esc: Annotated[
        list[str] | None,
        typer.Option("--environment", metavar="PROJECT/NAME", help="An environment of Pulumi ESC; repeatable."),
    ] = None,
    secrets_provider: Annotated[
        str | None, typer.Option("--secrets-provider", metavar="URL", help="The key of new stacks, such as awskms://….")
    ] = None,
    every: Annotated[int, typer.Option("--every", min=60, help="Seconds between two looks for drift.")] = 600,
    detect_only: Annotated[bool, typer.Option("--detect-only", help="Report drift, and change nothing.")] = False,
    image: Annotated[str | None, typer.Option("--image", help="The workspace's image, of a mirror.")] = None,
    cwd: Cwd = Path(),
) -> None:
    """Write Stack objects of the Pulumi Kubernetes Operator; secrets and the backend by reference only.

    With waves in Pulumi.yaml, a stack waits until those of the wave before have succeeded.
    """
    from mignet.commands.selection import waves_of
    from mignet.fleet.loading import load

    source = _source(repository, flux, component, branch=branch, directory=directory)
    project = project_in(cwd)
    loaded = load(project, chosen(project, stacks, all_=all_))
    wanted = Wanted(
        source=source,
        kubeconfig=_secret("--kubeconfig-secret", kubeconfig),
        namespace=namespace,
        organization=organization,
        backend=backend,
        environment=dict(_variable(each) for each in secrets or ()),
        every=every,
        detect_only=detect_only,
        image=image,
        esc=esc or (),
        secrets_provider=secrets_provider,
        waves=waves_of(project, [stack.name for stack in loaded]),
    )
    comment = "Written by `mignet export operator`, for the Pulumi Kubernetes Operator 2."
    sys.stdout.write(as_yaml(objects(project.name, loaded, wanted), comment=comment))


@app.command()
def ci(
    stacks: Stacks = None,
    *,
    all_: All = False,
    engine: Annotated[Literal["pulumi", "direct"], typer.Option("--engine", help="What applies.")] = "pulumi",
    branch: Annotated[str, typer.Option("--branch", help="The branch whose pushes are applied.")] = "main",
    image: Annotated[str, typer.Option("--runner", help="Label of the runners, which must reach the clusters.")] = (
        "ubuntu-latest"
    ),
    cwd: Cwd = Path(),
) -> None:
    """Write a workflow of GitHub Actions: the plan as a comment on pull requests, applied after the merge.

    With waves in Pulumi.yaml, each is a job that waits for the one before.
    """
    from mignet.commands.selection import waves_of
    from mignet.fleet.loading import load

    project = project_in(cwd)
    names = [stack.name for stack in load(project, chosen(project, stacks, all_=all_))]
    waves = waves_of(project, names) or [names]
    comment = (
        "Written by `mignet export ci`; goes to .github/workflows/migration-network.yaml.\n"
        "Secrets: KUBECONFIG (all clusters' contexts), and those of the state backend."
    )
    sys.stdout.write(as_yaml([workflow(waves, engine=engine, branch=branch, image=image)], comment=comment))


@app.command(epilog="Example: mignet export role apply prod-1 | kubectl apply -f -")
def role(
    name: Annotated[
        Literal["observe", "apply", "checkup", "crossing"], typer.Argument(metavar="ROLE", help="What it is for.")
    ],
    stacks: Stacks = None,
    *,
    cwd: Cwd = Path(),
) -> None:
    """Write the least rights for a stack's cluster: to look, apply, run a checkup, or prove a path."""
    from mignet.operations import roles

    project = project_in(cwd)
    stack = _one(project, stacks, "a role is for its cluster")
    comment = (
        f"Written by `mignet export role {name} {stack.name}`: grant it by a RoleBinding and a ClusterRoleBinding."
    )
    sys.stdout.write(as_yaml(roles.manifests(name, roles.granted(name, stack)), comment=comment))


@app.command(epilog="Example: mignet export firewall --all -o nftables > migration-network.nft")
def firewall(
    stacks: Stacks = None,
    *,
    all_: All = False,
    output: Annotated[
        Literal["table", "csv", "nftables"],
        typer.Option("--output", "-o", help="For people, for a request, or for nft -f."),
    ] = "table",
    sync_port: SyncPort = 9185,
    handler_ports: HandlerPorts = "32768-60999",
    hook: Annotated[
        Literal["forward", "input"],
        typer.Option("--hook", help="Where nftables filters: in a router between the sites, or on a node."),
    ] = "forward",
    cwd: Cwd = Path(),
) -> None:
    """Write what must be open for migrations, within each cluster and between those of one segment."""
    from mignet.exports import firewall as export
    from mignet.fleet.loading import load

    ports = _ports(handler_ports)
    project = project_in(cwd)
    loaded = load(project, chosen(project, stacks, all_=all_))
    found = list(export.openings(loaded, sync_port=sync_port, handler_ports=ports))
    match output:
        case "csv":
            text = export.as_csv(found)
        case "nftables":
            text = export.as_nftables(found, hook=hook)
        case _:
            text = export.as_table(found)
    sys.stdout.write(text)


@app.command(epilog="Example: mignet export multinetworkpolicy prod-1 | kubectl apply -f -")
def multinetworkpolicy(
    stacks: Stacks = None,
    *,
    sync_port: SyncPort = 9185,
    handler_ports: HandlerPorts = "32768-60999",
    cwd: Cwd = Path(),
) -> None:
    """Write the MultiNetworkPolicy that lets migrations of a stack through, where others deny all else."""
    from mignet.checks.rules.network_policies import filters
    from mignet.exports import firewall as export
    from mignet.exports.multi_network_policy import policy
    from mignet.fleet.loading import load

    ports = _ports(handler_ports)
    project = project_in(cwd)
    stack = _one(project, stacks, "a policy is for its cluster")
    if not filters(stack):
        mistake(
            f"{stack.name}: attachment.type {stack.attachment.type}",
            "is an attachment to which no MultiNetworkPolicy applies",
            "Use macvlan, ipvlan or localnet, or filter on the switch (mignet export firewall)",
        )
    fleet = load(project, project.stack_names())
    found = export.openings(fleet, sync_port=sync_port, handler_ports=ports)
    comment = (
        f"Written by `mignet export multinetworkpolicy {stack.name}`. On OpenShift, policies work with\n"
        "spec.useMultiNetworkPolicy: true of the Network cluster (operator.openshift.io)."
    )
    sys.stdout.write(as_yaml([policy(stack, found)], comment=comment))


@app.command(epilog="Example: mignet export monitoring --all --runbooks https://git.example/net/docs/runbooks.md")
def monitoring(
    stacks: Stacks = None,
    *,
    all_: All = False,
    only: Annotated[
        Literal["rules", "cluster-rules", "dashboard", "watch", "cronjob"] | None,
        typer.Option("--only", help="One part; the dashboard by itself is JSON, for Grafana's import."),
    ] = None,
    source: Annotated[
        Literal["cronjob", "watch"], typer.Option("--from", help="What looks: a CronJob, or a running mignet watch.")
    ] = "cronjob",
    runbooks: Annotated[
        str | None, typer.Option("--runbooks", metavar="URL", help="Where your people read docs/runbooks.md.")
    ] = None,
    platform: Annotated[
        Literal["openshift", "kubernetes"], typer.Option("--platform", help="Whose monitoring it is for.")
    ] = "openshift",
    namespace: Namespace = "migration-network",
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="KEY=VALUE", help="A label by which your Prometheus selects rules and targets."
        ),
    ] = None,
    every: Annotated[int, typer.Option("--every", min=60, help="Seconds between two looks.")] = 900,
    image: Annotated[str | None, typer.Option("--image", help="The CronJob's image (docs/container.md).")] = None,
    gateway: Annotated[
        str | None, typer.Option("--pushgateway-image", help="That of the Pushgateway beside it, of a mirror.")
    ] = None,
    kubeconfig: KubeconfigSecret = "migration-network-kubeconfig",
    files: ProjectConfigMap = "migration-network-project",
    cwd: Cwd = Path(),
) -> None:
    """Write alerts with runbooks, a dashboard, and what is scraped, for Prometheus and Grafana.

    Credentials are named, and never written.
    """
    import json

    from mignet.exports.monitoring import dashboard, manifests
    from mignet.fleet.loading import load

    project = project_in(cwd)
    known = project.stack_names()
    names = [stack.name for stack in load(project, chosen(project, stacks, all_=all_))]
    if only == "dashboard":
        sys.stdout.write(json.dumps(dashboard.dashboard(), indent=2) + "\n")
        return
    parts: list[manifests.Part] = [only] if only else ["rules", "cluster-rules", "dashboard", source]
    if runbooks is None and {"rules", "cluster-rules"} & set(parts):
        mistake(
            "--runbooks",
            "is missing: every alert names a page that says what to do",
            "Say where docs/runbooks.md is read",
        )
    wanted = manifests.Wanted(
        # A stack to come is one of all.
        stacks=names if stacks else (),
        runbooks=runbooks or "",
        namespace=_name("--namespace", namespace),
        openshift=platform == "openshift",
        labels=dict(_label(each) for each in labels or ()),
        every=every,
        image=image or manifests.IMAGE,
        gateway=gateway or manifests.GATEWAY,
        kubeconfig=_name("--kubeconfig-secret", kubeconfig),
        project=_name("--project-config-map", files),
        single=len(known) < 2,
    )
    comment = "Written by `mignet export monitoring`: docs/monitoring.md says where each part goes."
    sys.stdout.write(as_yaml(manifests.objects(parts, wanted), comment=comment))


@app.command(epilog="Example: mignet export watch --all --image registry.example.com/migration-network:0.1.0")
def watch(
    stacks: Stacks = None,
    *,
    image: Annotated[str, typer.Option("--image", help="The image (docs/container.md).")],
    all_: All = False,
    namespace: Namespace = "migration-network",
    kubeconfig: KubeconfigSecret = "migration-network-kubeconfig",
    token: Annotated[
        str, typer.Option("--token-secret", metavar="NAME", help="The Secret whose key token readers have to show.")
    ] = "mignet-watch-token",  # noqa: S107 (a name)
    tls: Annotated[
        str, typer.Option("--tls-secret", metavar="NAME", help="The Secret with the server's certificate and key.")
    ] = "mignet-watch-tls",
    files: ProjectConfigMap = "migration-network-project",
    webhook: Annotated[
        str | None,
        typer.Option("--webhook-secret", metavar="NAME", help="The Secret with key url, and token if demanded."),
    ] = None,
    cwd: Cwd = Path(),
) -> None:
    """Write mignet watch as a Deployment: Secrets and the project's files are named, and never written.

    Its kubeconfig is of an account with the role observe on each cluster (mignet export role observe STACK).
    """
    from mignet.exports.watch import Wanted, objects
    from mignet.fleet.loading import load

    project = project_in(cwd)
    names = chosen(project, stacks, all_=all_)
    load(project, names)
    wanted = Wanted(
        image=image,
        stacks=() if all_ else tuple(names),
        namespace=_name("--namespace", namespace),
        kubeconfig=_name("--kubeconfig-secret", kubeconfig),
        token=_name("--token-secret", token),
        tls=_name("--tls-secret", tls),
        project=_name("--project-config-map", files),
        webhook=None if webhook is None else _name("--webhook-secret", webhook),
    )
    comment = "Written by `mignet export watch`: see docs/watch.md for what the Secrets hold."
    sys.stdout.write(as_yaml(objects(wanted), comment=comment))


def _one(project: Project, stacks: list[str] | None, why: str) -> Stack:
    """Return the one stack that is named, or the only one there is."""
    from mignet.fleet.loading import load

    known = project.stack_names()
    if len(stacks or known) != 1:
        mistake("STACK", f"is one stack: {why}", f"Name one of: {', '.join(known)}")
    (stack,) = load(project, stacks or known)
    return stack


def _ports(text: str) -> tuple[int, int]:
    """Read FIRST-LAST."""
    import re

    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    ports = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= ports[0] <= ports[1] <= 65535:
        mistake(f"--handler-ports {text}", "is no range of ports", "Write it as 32768-60999")
    return ports


def _source(repository: str | None, flux: str | None, component: str | None, *, branch: str, directory: str) -> Source:
    """Return where the operator has the program from: one of three."""
    if sum(each is not None for each in (repository, flux, component)) != 1:
        rule = "say where the program is from, and one of them has to"
        mistake("--repo, --flux-source and --component", rule, "Give one of the three")
    if repository is not None:
        return Git(repository, branch, directory)
    if component is not None:
        return Component(component)
    kind, slash, name = str(flux).partition("/")
    if not (slash and name and kind in FLUX_KINDS):
        mistake(f"--flux-source {flux}", "names no source of Flux", f"Write {' or '.join(FLUX_KINDS)}/NAME")
    return Flux(kind, name, directory)


def _secret(option: str, text: str) -> SecretKey:
    name, colon, key = text.partition(":")
    if not (name and colon and key):
        # What stands there may be the secret itself: it is not repeated.
        mistake(option, "names no key of a Secret", "Write NAME:KEY")
    return SecretKey(name, key)


def _variable(text: str) -> tuple[str, SecretKey]:
    variable, equals, secret = text.partition("=")
    if not (variable and equals):
        mistake("--secret", "names no variable", "Write VARIABLE=NAME:KEY")
    return variable, _secret("--secret", secret)


def _label(text: str) -> tuple[str, str]:
    import re

    key, equals, value = text.partition("=")
    if not (equals and re.fullmatch(r"([A-Za-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", key)):
        mistake(f"--label {text}", "is no label", "Write KEY=VALUE, such as release=kube-prometheus-stack")
    return key, value


def _name(option: str, text: str) -> str:
    import re

    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", text):
        mistake(f"{option} {text}", "is no name of an object", "Write lower-case letters, digits and dashes")
    return text
