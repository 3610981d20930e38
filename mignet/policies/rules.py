"""What a resource of somebody else's program must not do to the migration networks of a fleet.

Each rule is a function over the fleet's stacks and one resource, and yields a sentence for each thing that is wrong.
None of them looks at a cluster; `mignet preflight` says the same of what is there already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.attachment import attached_to
from config.finding import few, shown
from config.fleet import handed_out
from config.hyperconverged import NAME
from config.uplink import made
from mignet.checks.preflight import other_pools
from mignet.checks.preflight.other_pools import declared_pools
from mignet.kube.hyperconverged_versions import limits_path
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    KUBEVIRT,
    MIGRATION_POLICY,
    NETWORK_ATTACHMENT,
    NODE_POLICY,
)
from mignet.kube.kubevirt import json_patches
from mignet.kube.network.uplink_conflicts import Policy as NodePolicy
from mignet.kube.objects import name_of, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from config.stack import Stack
    from mignet.kube.kinds import Kind, Object

_OURS = "migration-network:index:"
"""In the URN of what our components declare: the types of a resource's parents are part of it."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource of a Pulumi program, before it is made or changed."""

    urn: str
    manifest: Object
    """Its inputs; a patch is its object's manifest, with the fields that it owns."""
    protect: bool = False
    context: str | None = None
    """The kubeconfig's context that its provider names; None where it names none."""

    @property
    def is_ours(self) -> bool:
        """Whether one of our components declares it."""
        return _OURS in self.urn

    def is_a(self, kind: Kind) -> bool:
        """Tell whether it is an object of this kind, or a patch of one."""
        said = self.manifest.get("apiVersion"), self.manifest.get("kind")
        return said == (kind.api_version, kind.kind) and isinstance(self.manifest.get("metadata"), dict)

    def is_at(self, namespace: str | None, name: str) -> bool:
        """Tell whether that is its namespace and name; None is no namespace."""
        metadata = self.manifest["metadata"]
        return metadata.get("name") == name and (namespace is None or metadata.get("namespace") == namespace)

    @property
    def label(self) -> str:
        """How it is named in a sentence."""
        metadata = self.manifest["metadata"]
        named = self.manifest if "name" in metadata else self.manifest | {"metadata": metadata | {"name": "(unnamed)"}}
        return str(name_of(named))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its name as Pulumi's configuration has it, why it holds, and whether it holds unless a site asks."""

    name: str
    why: str
    find: Callable[[Iterable[Stack], Declared], Iterator[str]]
    on: bool = True


def address_range(stacks: Iterable[Stack], declared: Declared) -> Iterator[str]:
    """Two IPAMs that hand out one address give it to two pods: migrations go to the wrong one, or nowhere."""
    if met := _given_twice(stacks, declared, on_one_network=True):
        yield (
            f"{declared.label} hands out {met}, on the same network: two pods would have one address. Move its range"
            " out of the segment"
        )


def address_range_unknown_vlan(stacks: Iterable[Stack], declared: Declared) -> Iterator[str]:
    """Where a configuration does not tell the VLAN, one address given twice is a fault if both are on one network."""
    if met := _given_twice(stacks, declared, on_one_network=None):
        yield (
            f"{declared.label} hands out {met}, and its configuration does not tell its VLAN: two pods would have one"
            " address where both are on one network. Move its range out of the segment, or see that they are on two"
        )


def _given_twice(stacks: Iterable[Stack], declared: Declared, *, on_one_network: bool | None) -> str:
    """Return what a resource hands out of stacks that it is so much of a neighbour of; nothing where that is none."""
    if declared.is_ours or _stack_of(stacks, declared):
        return ""
    if not (declared.is_a(NETWORK_ATTACHMENT) or declared.is_a(CLUSTER_USER_NETWORK)):
        return ""
    met = {
        stack.name: common
        for pool in declared_pools(declared.manifest)
        for stack in stacks
        if other_pools.on_one_network(stack, pool) is on_one_network
        for ours in handed_out(stack)
        for theirs in pool.given
        if (common := theirs.clipped(ours))
    }
    return few(f"{common} of stack {name}" for name, common in met.items()) if met else ""


def migration_network(stacks: Iterable[Stack], declared: Declared) -> Iterator[str]:
    """The attachment of a stack, and which one the HyperConverged names, are that stack's alone."""
    if declared.is_ours:
        return
    for stack in _on_its_cluster(stacks, declared):
        if _declares_network(stack, declared):
            yield (
                f"{declared.label} is the migration network of stack {stack.name}: two programs would write it in turn."
                f" Take it out of this program, or change attachment in Pulumi.{stack.name}.yaml"
            )
        for named in _settings(stack, declared).values():
            if "network" in named and named["network"] != stack.network:
                yield (
                    f"{declared.label} sets network to {shown(named['network'])}, and stack {stack.name} sets it to"
                    f" {stack.network}: each change restarts every virt-handler. Take it out of this program"
                )


def migration_limits(stacks: Iterable[Stack], declared: Declared) -> Iterator[str]:
    """Limits of live migration that a stack sets are its own: two owners undo each other."""
    if declared.is_ours:
        return
    for stack in _on_its_cluster(stacks, declared):
        own = stack.hyper_converged.limits(stack.network)
        for settings in _settings(stack, declared).values():
            # The network is a rule of its own.
            if said := [
                f"{key} to {shown(value)}" for key, value in settings.items() if key in own.keys() - {"network"}
            ]:
                yield (
                    f"{declared.label} sets {', '.join(said)}, which stack {stack.name} owns: each of the two undoes"
                    f" the other. Set it in Pulumi.{stack.name}.yaml (hyperConverged.liveMigration), and nowhere else"
                )
        if _is_hyperconverged(stack, declared):
            for override in json_patches.overrides(stack, declared.manifest):
                yield f"{declared.label}: {override.sentence}. {override.remedy}"


def migration_policies(stacks: Iterable[Stack], declared: Declared) -> Iterator[str]:
    """A MigrationPolicy overrides the limits of its cluster for the machines that it selects, whoever wrote it."""
    if declared.is_ours or not declared.is_a(MIGRATION_POLICY):
        return
    for stack in _on_its_cluster(stacks, declared):
        if any(declared.is_at(None, each.name) for each in stack.migration_policies):
            yield (
                f"{declared.label} is one of stack {stack.name}: two programs would write it in turn. Rename it, or"
                f" declare it in Pulumi.{stack.name}.yaml (migrationPolicies) alone"
            )
            continue
        own = stack.hyper_converged.limits(stack.network)
        spec = _mapping(declared.manifest.get("spec"))
        if said := [
            f"{key} {shown(spec[key])} (not {shown(own[key])})" for key in own if spec.get(key, own[key]) != own[key]
        ]:
            yield (
                f"{declared.label} overrides limits of stack {stack.name} for the machines that it selects:"
                f" {', '.join(said)}. Declare it in Pulumi.{stack.name}.yaml (migrationPolicies), where it is judged"
                " with them"
            )


def uplink(stacks: Iterable[Stack], declared: Declared) -> Iterator[str]:
    """Two policies of nmstate that declare one interface are applied in an order that nobody controls."""
    if declared.is_ours or not declared.is_a(NODE_POLICY):
        return
    theirs = NodePolicy(declared.manifest)
    for stack in _on_its_cluster(stacks, declared):
        groups = () if stack.uplink is None else stack.uplink.groups
        names = {name for group in groups for name in made(group, stack.segment)}
        mapped = {each.localnet for group in groups for each in group.mappings}
        both = sorted(names & theirs.interfaces.keys())
        both += sorted(f"localnet {each}" for each in mapped & theirs.mappings.keys())
        on = attached_to(stack.attachment)
        if both:
            yield (
                f"{declared.label} declares {', '.join(both)}, as the uplink of stack {stack.name} does: nmstate"
                " applies both, in an order that nobody controls. Take it out of one of the two"
            )
        if on is not None and on not in names and theirs.interfaces.get(on, {}).get("state") == "absent":
            yield (
                f"{declared.label} removes {on}, to which the migration network of stack {stack.name} is"
                " attached. Change that stack first"
            )


def protect(_stacks: Iterable[Stack], declared: Declared) -> Iterator[str]:
    """A protected resource is not deleted by a `destroy`, nor by a line that is lost from a program."""
    kinds = (HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1, NETWORK_ATTACHMENT, CLUSTER_USER_NETWORK, NODE_POLICY)
    if declared.is_ours and not declared.protect and any(map(declared.is_a, kinds)):
        yield (
            f"{declared.label} is not protected, and this site asks for it. Give the component"
            " opts=pulumi.ResourceOptions(protect=True) (in YAML options: {protect: true})"
        )


RULES = tuple(
    Rule(find.__name__.replace("_", "-"), " ".join(str(find.__doc__).split()), find, on=find is not protect)
    for find in (
        address_range,
        address_range_unknown_vlan,
        migration_network,
        migration_limits,
        migration_policies,
        uplink,
        protect,
    )
)


def _on_its_cluster(stacks: Iterable[Stack], declared: Declared) -> list[Stack]:
    """Return the stacks of the cluster that a resource goes to: all of them where its provider does not name one."""
    return [each for each in stacks if declared.context is None or each.cluster.context == declared.context]


def _stack_of(stacks: Iterable[Stack], declared: Declared) -> Stack | None:
    """Return the stack whose own network it is, which another rule is about."""
    return next((each for each in _on_its_cluster(stacks, declared) if _declares_network(each, declared)), None)


def _declares_network(stack: Stack, declared: Declared) -> bool:
    if declared.is_a(NETWORK_ATTACHMENT):
        return declared.is_at(stack.cluster.namespace, stack.network)
    return bool(stack.user_network) and declared.is_a(CLUSTER_USER_NETWORK) and declared.is_at(None, stack.network)


def _is_hyperconverged(stack: Stack, declared: Declared) -> bool:
    kinds = (HYPERCONVERGED_V1, HYPERCONVERGED_V1BETA1)
    return any(map(declared.is_a, kinds)) and declared.is_at(stack.cluster.namespace, NAME)


def _settings(stack: Stack, declared: Declared) -> dict[str, Mapping[str, Any]]:
    """Return what a resource sets of the live migration of a stack's cluster, by the path."""
    if _is_hyperconverged(stack, declared):
        path = limits_path(declared.manifest["apiVersion"])
    elif declared.is_a(KUBEVIRT) and declared.manifest["metadata"].get("namespace") == stack.cluster.namespace:
        path = "spec.configuration.migrations"
    else:
        return {}
    return {path: _mapping(value_at(declared.manifest, path))}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
