"""The Pulumi program of one stack, but for its components: its config, and the guards, in Pulumi's own terms."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pulumi
from pulumi.runtime import config as pulumi_config

from config.files.fleet_files import read_fleet
from config.files.project_files import Project, ProjectNotFoundError, strayed
from config.finding import ConfigError, UserError, shown
from config.loading import load_stack
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.diff import declared_differences, differences
from mignet.kube.kinds import NETWORK_ATTACHMENT
from mignet.kube.kubevirt.take_over import network_named
from mignet.kube.network import attachment_history, cni_configuration
from mignet.kube.network.uplink_changes import effects
from mignet.kube.objects import name_of, value_at
from mignet.program import guards
from mignet.program.providers import Handlers, Nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pulumi.dynamic import ResourceProvider

    from config.stack import Stack
    from mignet.kube.diff import FieldChange
    from mignet.kube.kinds import Object

_ERROR_ALREADY_SHOWN = 32
"""The exit code by which Pulumi's Python language host knows that the user has seen the reason."""

_GUARDED: ContextVar[bool] = ContextVar("guarded", default=True)
WAITED: ContextVar[bool] = ContextVar("waited", default=False)
"""Whether who runs the program has waited for migrations to end, or was told not to."""
FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)
"""The project's folder, where the program runs in a process that was started elsewhere."""


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """Evaluate the program without a cluster: rendering needs none, and the direct engine has guards of its own."""
    token = _GUARDED.set(False)
    try:
        yield
    finally:
        _GUARDED.reset(token)


def look_beside(folder: Path) -> None:
    """Let a program in a project's folder import what lies beside it, as Pulumi does; behind what is installed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def load() -> Stack:
    """Return this stack, from the config that the engine passes. Mistakes become the program's error, line by line."""
    prefix = f"{pulumi.get_project()}:"
    values = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    own = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    mistakes = "\n".join(map(str, strayed(pulumi.get_stack(), values, pulumi.get_project())))
    if not mistakes:
        try:
            return load_stack(pulumi.get_stack(), own)
        except ConfigError as error:
            mistakes = str(error)
    _refuse(f"the configuration has mistakes; nothing was changed\n{mistakes}")


def nodes() -> ResourceProvider:
    """Return what waits for nodes, and undoes on them, behind the policies of an uplink."""
    return Nodes()


def handlers() -> ResourceProvider:
    """Return what waits for the pods that migrate, behind a HyperConverged that names another network."""
    return Handlers()


class UnfitError(UserError):
    """The stack must not be applied as it is: what is wrong with its cluster, or beside its neighbours."""


def guard(stack: Stack) -> None:
    """Stop the program unless stack and cluster are fit for each other; show what is taken over, and what pods miss.

    The stack is held against the other stack files of the project first, where there are any. Plain `pulumi preview` is
    green on an unreachable cluster, a missing API or a field of somebody else; with this it is not.
    """
    if not _GUARDED.get():
        return
    try:
        note = judged(stack)
    except UnfitError as error:
        _refuse(str(error))
    if note:
        noted(note)


def judged(stack: Stack) -> dict[str, str]:
    """Look at a stack and its cluster as `guard` does, and return the annotations that belong on its attachment.

    Raises UnfitError.
    """
    _check_fleet(stack)
    for finding in stack.findings:
        pulumi.log.warn(str(finding))
    try:
        # The program runs inside an event loop already; the guards get one of their own.
        with ThreadPoolExecutor(max_workers=1) as executor:
            folder = _folder()
            accepted = stack.hyper_converged.while_migrating == "proceed" or WAITED.get() or pulumi.runtime.is_dry_run()
            check = _check(stack, folder, refuses=not accepted)
            warnings, note = executor.submit(lambda: asyncio.run(check)).result()
    except (guards.GuardError, ClusterError) as error:
        lines = "\n".join(f"{stack.name}: {line}" for line in str(error).splitlines())
        msg = f"the cluster is not fit for this stack; nothing was changed\n{lines}"
        raise UnfitError(msg) from error
    for warning in warnings:
        pulumi.log.warn(f"{stack.name}: {warning}")
    return note


def noted(note: Mapping[str, str]) -> None:
    """Have annotations on the attachment that the program is going to declare, beside its own."""
    pulumi.runtime.register_stack_transformation(with_note(note))


def with_note(note: Mapping[str, str]) -> pulumi.ResourceTransformation:
    """Return what adds annotations to the attachment, and leaves all else as it is."""

    def write(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != _ATTACHMENT:
            return None
        metadata: Any = args.props["metadata"]
        more = metadata | {"annotations": metadata["annotations"] | note}
        return pulumi.ResourceTransformationResult({**args.props, "metadata": more}, args.opts)

    return write


_ATTACHMENT = f"kubernetes:{NETWORK_ATTACHMENT.api_version}:{NETWORK_ATTACHMENT.kind}"
"""The attachment's type, as Pulumi's provider names it."""


def _folder() -> Path:
    return FOLDER.get() or Path.cwd()


def _check_fleet(stack: Stack) -> None:
    try:
        files = read_fleet(Project.find(_folder()), known=[stack])
    except ProjectNotFoundError:
        # Run from elsewhere: there are no files beside this stack.
        return
    blocking = files.blocking([stack.name])
    if blocking:
        msg = f"the stack does not go together with others; nothing was changed\n{ConfigError(blocking)}"
        raise UnfitError(msg)
    if files.left_out:
        pulumi.log.warn(files.left_out)


async def _check(stack: Stack, folder: Path, *, refuses: bool) -> tuple[list[str], dict[str, str]]:
    """Return what to warn of, and the note that belongs on the attachment.

    With `refuses`, migrations that a restart of virt-handlers would fail are no warning: they raise GuardError.
    """
    async with Cluster(stack.cluster, base=folder) as cluster:
        attachment, live = await guards.prerequisites(stack, cluster)
        networks = await guards.user_networks(stack, cluster, live)
        policies = await guards.uplinks(stack, cluster)
        guards.settled(stack, policies)
        of_machines = await guards.migration_policies(stack, cluster)
        taken = await guards.take_overs(stack, cluster, live)
        named = network_named(live)
        in_flight = None if named == stack.network else await guards.in_flight(cluster)
    if in_flight and refuses:
        remedy = "wait until they have ended, or set hyperConverged.whileMigrating: proceed"
        raise guards.GuardError([f"{in_flight}; {remedy}"])
    path = cni_configuration.PATH
    # What the controller of a network has made, it keeps as well.
    attachment = None if stack.user_network else attachment
    old = None if attachment is None else value_at(attachment, path)
    changes = cni_configuration.by_meaning(
        () if attachment is None else differences(old, stack.cni_json, path), old, stack.cni_json, name=stack.network
    )
    wanted = {policy.name: {"spec": policy.spec} for policy in stack.policies}
    on_uplink = (
        sentence
        for policy in policies
        for sentence in effects(
            stack, policy["metadata"]["name"], differences({"spec": policy["spec"]}, wanted[policy["metadata"]["name"]])
        )
    )
    warnings = [
        *([in_flight] if in_flight else ()),
        *guards.stale_handlers(stack, changes),
        *guards.switch(stack, named),
        *(
            sentence
            for policy in policies
            for each in declared_differences(wanted[policy["metadata"]["name"]], {"spec": policy["spec"]})
            for sentence in _left(policy, each)
        ),
        *on_uplink,
        *(_taken(change) for change in taken),
        *guards.will_be_written_back(stack, (attachment, live, *networks, *policies, *of_machines)),
    ]
    declared = {"metadata": {"name": stack.network}, "spec": {"config": stack.cni_json}}
    return warnings, attachment_history.note(attachment, declared)


def _left(live: Object, change: FieldChange) -> Iterator[str]:
    """Say what Pulumi leaves: of a list it compares no more items than are declared."""
    if change.extended:
        yield (
            f"{name_of(live)} {change.path} holds {shown(change.beyond)} beyond what is declared:"
            " pulumi up leaves it there, and mignet up takes it away"
        )


def _taken(change: FieldChange) -> str:
    return (
        f"takes over HyperConverged {change.path}: {guards.said(change.old)} (owned by {change.owner}) becomes"
        f" {guards.said(change.new)}"
    )


def _refuse(message: str) -> NoReturn:
    """End the program with this error and no other: a RunError would add a line about an unhandled one."""
    pulumi.log.error(message)
    sys.exit(_ERROR_ALREADY_SHOWN)
