"""The component as a plugin of Pulumi, for programs in YAML, TypeScript, Go, C# and Java.

Pulumi reads the schema off the annotations here, so they stand as types, not as text. What the sections hold is for the
models of `config`: a schema of Pulumi has no word for an attachment that is one of several types (docs/adr/0017).
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyErrorDetails
from pulumi.provider import ConstructResult, main
from pulumi.provider.experimental.component import ComponentProvider

from components.migration_network import MigrationNetwork as Component
from config.finding import ConfigError, Finding
from config.loading import load_stack
from config.stack import Stack
from config.types.json_text import whole_numbers
from mignet.program import stack_program

PACKAGE = "migration-network"
"""The package's name, with which types of it begin."""


class MigrationNetworkArgs(TypedDict):
    """The sections of a stack file, with the segment that all stacks share.

    None is an input of Pulumi's that may be an output of another resource: a stack is judged before anything is made.
    """

    segment: dict[str, Any]
    """The network that live migrations of all clusters share: subnet, vlan, mtu, gateway, reserved; or sites."""
    cluster: dict[str, Any]
    """The cluster: context, kubeconfig, namespace, nodes."""
    attachment: dict[str, Any]
    """How pods attach to the segment: type, name, and the keys of that type."""
    slice: NotRequired[Any]
    """The cluster's own part of the subnet, rangeStart and rangeEnd (inclusive); or a list, one of each family."""
    site: NotRequired[str]
    """The site that the cluster is in, where the segment has sites."""
    uplink: NotRequired[dict[str, Any]]
    """What nmstate makes on the nodes."""
    hyper_converged: NotRequired[dict[str, Any]]
    """How the HyperConverged is patched: liveMigration, apiVersion, onConflict."""
    migration_policies: NotRequired[list[Any]]
    """Other limits for some virtual machines."""
    other_networks: NotRequired[dict[str, Any]]
    """Networks that the segment must not overlap, by name."""
    waivers: NotRequired[dict[str, str]]
    """Rules that are accepted as broken: the rule's code, and the reason."""


_PYTHON = "PULUMI_PYTHON_CMD"
_KEYS = {
    "hyper_converged": "hyperConverged",
    "migration_policies": "migrationPolicies",
    "other_networks": "otherNetworks",
}


class MigrationNetwork(Component):
    """A dedicated network for live migration on one OpenShift Virtualization cluster.

    The stack's name is the owner of what it declares: one of these a stack.
    """

    network: pulumi.Output[str]
    """The name of the attachment, which the HyperConverged refers to."""
    namespace: pulumi.Output[str]
    """KubeVirt's namespace."""
    cni_config: pulumi.Output[str]
    """The CNI configuration, as JSON."""
    slice: pulumi.Output[str]
    """The addresses of the cluster: an inclusive range, or one of each family with a comma between."""
    demand: pulumi.Output[dict[str, int] | None]
    """Addresses that the cluster needs: total, and what it is the sum of; none when cluster.nodes is not given."""

    def __init__(self, name: str, args: MigrationNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        stack = load_stack(pulumi.get_stack(), sections(args))
        note = stack_program.judged(stack)
        noted = pulumi.ResourceOptions(transformations=[stack_program.with_note(note)] if note else [])
        super().__init__(
            name,
            stack,
            nodes=stack_program.nodes(),
            handlers=stack_program.handlers(),
            opts=pulumi.ResourceOptions.merge(opts, noted),
        )


def sections(args: Mapping[str, Any]) -> dict[str, object]:
    """Return the sections by the keys of a stack file."""
    return {_KEYS.get(key, key): whole_numbers(value) for key, value in args.items()}


class Components(ComponentProvider):
    """What Pulumi asks for components, with mistakes of a user told as such: one line each, no traceback."""

    def construct(
        self, name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        """Declare the component. Raises InputPropertiesError with every mistake that is in the inputs."""
        if late := list(_late(inputs)):
            raise _refused(late)
        try:
            stack = load_stack(pulumi.get_stack(), sections(inputs))
        except ConfigError as error:
            raise _refused(error.findings) from None
        if untold := list(_without_python(stack)):
            raise _refused(untold)
        try:
            return super().construct(name, resource_type, inputs, options)
        except Exception as error:
            # The SDK wraps what a component raises, to show where.
            if isinstance(inner := getattr(error, "inner", error), stack_program.UnfitError):
                raise InputPropertiesError(str(inner), []) from None
            raise


def _without_python(stack: Stack) -> Iterator[Finding]:
    """Yield what waits in a process that Pulumi starts by itself: only programs in Python tell it of theirs."""
    if _PYTHON in os.environ:
        return
    remedy = f"Set {_PYTHON}={sys.executable}"
    if stack.policies:
        yield Finding("uplink", None, "waits for nodes, and Pulumi does not know in which Python", remedy)
    elif stack.attachment.rollout == "rename" or stack.user_network:
        yield Finding("attachment", None, "waits for pods, and Pulumi does not know in which Python", remedy)


def _late(inputs: pulumi.Inputs) -> Iterator[Finding]:
    """Yield the sections that hold what only Pulumi knows: all is judged before anything is made."""
    for key, value in inputs.items():
        for path, each in _leaves(key, value):
            if isinstance(each, pulumi.Output) or pulumi.output.contains_unknowns(each):
                yield Finding(
                    path,
                    None,
                    "is an output of another resource, or a secret: it is not known before that is made",
                    "Write the value itself, or take it from the stack's config",
                )


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(f"{path}.{key}", each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(f"{path}[{index}]", each)
    else:
        yield path, value


def _refused(findings: Iterable[Finding]) -> InputPropertiesError:
    details: list[InputPropertyErrorDetails] = [
        {"property_path": each.key, "reason": each.sentence} for each in findings
    ]
    return InputPropertiesError("the stack has mistakes; nothing was changed", details)


def serve() -> None:
    """Serve the component to the engine that started this process; its arguments are Pulumi's own."""
    main(Components([MigrationNetwork], PACKAGE, None, version("migration-network")), sys.argv[1:])
