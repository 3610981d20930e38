"""Whether OVN-Kubernetes has made the attachment of a network: the rule that verify and drift share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from config.finding import Finding, rule
from mignet.kube.network.user_network import not_created
from mignet.kube.objects import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.stack import Stack
    from mignet.kube.kinds import Object


class Look(Protocol):
    """A look at one stack's network and its attachment, whoever took it."""

    @property
    def stack(self) -> Stack:
        """The stack that is looked at."""

    @property
    def user_network(self) -> Object | None:
        """The ClusterUserDefinedNetwork; None when there is none, or the stack declares none."""

    @property
    def attachment(self) -> Object | None:
        """The NetworkAttachmentDefinition."""


@rule("network-not-made")
def network_not_made(look: Look) -> Iterator[Finding]:
    """A ClusterUserDefinedNetwork may stand there as declared, and its controller not have made what pods ask for."""
    network = look.user_network
    if network is not None and (why := not_created(network, look.attachment)):
        yield Finding(
            name_of(network),
            None,
            why,
            "Fix what it says; its controller tries again by itself",
            stack=look.stack.name,
        )
