"""What every attachment has in common, whichever CNI plugin makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from config.attachment.content import HASH_DIGITS, fingerprint
from config.attachment.ipam import Ipam, Whereabouts
from config.finding import Finding
from config.types.model import Model
from config.types.names import CniName, DnsLabel, Mtu

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.segment import Segment
    from config.slice import Slice

_NOT_CNI = {"name", "cni_name", "adopt", "rollout", "ipam", "mtu"}
_LONGEST_LABEL = 63


class Attachment(Model):
    """What every attachment has: the name, the MTU, and how a change of it is rolled out.

    `mtu` is in bytes (default: the segment's). With `rollout: rename` the NetworkAttachmentDefinition's name is `name`
    with a hash behind it of what pods keep of its content, so that a change of that is a new network, to which the
    operator moves virt-handler.
    """

    gives_routes: ClassVar[bool] = False
    """Whether pods can get routes with their addresses: without them, no pod of a routed site reaches another site."""

    name: DnsLabel
    """The NetworkAttachmentDefinition's name, and the HyperConverged's `network`; with `rollout: rename` a hash of the
    content follows it."""
    mtu: Mtu | None = None
    """Bytes, at most the segment's; the segment's when left out."""
    adopt: bool = False
    """Consent to take over a NetworkAttachmentDefinition of that name that somebody else made."""
    rollout: Literal["in-place", "rename"] = "in-place"
    """What a change of the content does: change the object, which running virt-handlers do not see until they are
    restarted; or make a new one, which the operator rolls out."""

    def rules(self) -> Iterator[Finding]:
        """A name with the hash behind it still is a DNS label."""
        longest = _LONGEST_LABEL - HASH_DIGITS - 1
        if self.rollout == "rename" and len(self.name) > longest:
            yield Finding(
                "name",
                self.name,
                f"is {len(self.name)} characters long, and rollout rename puts {HASH_DIGITS + 1} more behind it",
                f"Use at most {longest}, so that the whole is a DNS-1123 label",
                code="name-rollout",
            )

    def network(self, segment: Segment, slices: Sequence[Slice]) -> str:
        """Return the name of the NetworkAttachmentDefinition, which is what the HyperConverged refers to."""
        return f"{self.name}{self._suffix(segment, slices)}"

    def cni_config(self, segment: Segment, slices: Sequence[Slice], *, namespace: str) -> dict[str, Any]:  # noqa: ARG002
        """Return the CNI configuration of this attachment to `segment`, for an object in `namespace`."""
        return self._content(segment, slices)

    def user_network(self, segment: Segment, slices: Sequence[Slice], *, namespace: str) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the spec of the ClusterUserDefinedNetwork that the attachment is made of; None where it is its own."""
        return None

    def _suffix(self, segment: Segment, slices: Sequence[Slice]) -> str:
        if self.rollout == "in-place":
            return ""
        return f"-{fingerprint(self._content(segment, slices))}"

    def _content(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:
        """Return the CNI configuration without what follows from the object's name: what the hash is made of."""
        raise NotImplementedError


class CniAttachment(Attachment):
    """An attachment whose NetworkAttachmentDefinition the stack writes itself, CNI configuration and all."""

    cni_name: CniName | None = None
    """The name inside the CNI configuration; `name` when left out."""
    cni_version: Literal["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] = "0.3.1"
    """The version of the CNI specification."""

    def _content(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:  # noqa: ARG002
        config = self.model_dump(by_alias=True, exclude_none=True, exclude=_NOT_CNI, mode="json")
        config["name"] = self.cni_name or self.name
        mtu = self.mtu or segment.mtu
        return config if mtu is None else config | {"mtu": mtu}


class DelegatingAttachment(CniAttachment):
    """An attachment whose plugin asks an IPAM plugin for the addresses."""

    gives_routes: ClassVar[bool] = True

    ipam: Ipam = Whereabouts(type="whereabouts")
    """How pods get their addresses."""

    def _content(self, segment: Segment, slices: Sequence[Slice]) -> dict[str, Any]:
        return super()._content(segment, slices) | {"ipam": self.ipam.render(segment, slices)}
