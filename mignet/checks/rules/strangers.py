"""Virtual machines on the network of the migrations: the rule that preflight and verify share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from config.finding import Finding, few, rule
from mignet.kube.kinds import INSTANCE
from mignet.kube.objects import full_name, value_at
from mignet.kube.snapshot import Read, where_served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.kube.kinds import Kind, Object

READS = (Read(INSTANCE),)


class Look(Protocol):
    """A look at one stack's cluster, whoever took it."""

    @property
    def stack(self) -> Stack:
        """The stack that is looked at."""

    def all(self, kind: Kind, namespace: str | None = None) -> tuple[Object, ...]:
        """Return all objects of a kind that were read."""


@rule("vm-attached", severity="warning")
def vm_attached(look: Look) -> Iterator[Finding]:
    """A virtual machine on the migration network sees where memory is copied, and takes an address of the slice."""
    network = look.stack.network
    machines = where_served(lambda: look.all(INSTANCE), ())
    found = [each for each in machines if _is_attached(each, network, look.stack.cluster.namespace)]
    if found:
        named = few(full_name(each) for each in found)
        yield Finding(
            f"{INSTANCE.kind} {named}",
            None,
            f"{'is' if len(found) == 1 else 'are'} attached to {network}, where the memory of all others is copied in"
            " migrations: there it can listen and send, and it takes addresses that virt-handler needs",
            "Give the virtual machine a network of its own",
        )


def _is_attached(instance: Object, network: str, namespace: str) -> bool:
    names = [value_at(each, "multus.networkName") for each in instance.get("spec", {}).get("networks") or ()]
    own = instance["metadata"]["namespace"]
    return f"{namespace}/{network}" in {name if "/" in str(name) else f"{own}/{name}" for name in names if name}
