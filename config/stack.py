"""One stack: one cluster, its attachment to the segment, its slice and its limits."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, RootModel

from config.addressing import AddressRange, Network, Subnet
from config.attachment import AnyAttachment, Bridge, Macvlan, canonical_json
from config.cluster import Cluster
from config.demand import Demand, demand_of
from config.findings import ConfigError, Finding, apply_waivers
from config.hyperconverged import HyperConverged
from config.ipam import Slice, Whereabouts
from config.model import OneOrMore, parse
from config.part import Part, parts_of
from config.segment import Segment
from config.stack_rules import CODES, RULES, Draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Attachment(RootModel[AnyAttachment]):
    """The attachment, of whichever type."""


class _Slices(RootModel[Annotated[tuple[Slice, ...], OneOrMore(), Field(min_length=1)]]):
    """The slice, or a list of one of each family."""


class _OtherNetworks(RootModel[dict[str, Annotated[tuple[Subnet, ...], OneOrMore()]]]):
    """Networks that the segment must not overlap, by name: `machine: 10.0.0.0/16`, or a list of them."""


class _Waivers(RootModel[dict[str, Annotated[str, Field(min_length=1)]]]):
    """Rules that are accepted as broken: the rule's code, and the reason."""


_SECTIONS: dict[str, type[BaseModel]] = {
    "segment": Segment,
    "cluster": Cluster,
    "attachment": _Attachment,
    "slice": _Slices,
    "hyperConverged": HyperConverged,
    "otherNetworks": _OtherNetworks,
    "waivers": _Waivers,
}
_FIELDS = {"slice": "slices", "hyperConverged": "hyper_converged", "otherNetworks": "other_networks"}
_REQUIRED = ("segment", "cluster", "attachment")


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that one stack declares, valid in itself."""

    name: str
    segment: Segment
    cluster: Cluster
    attachment: Macvlan | Bridge
    slices: tuple[Slice, ...] = ()
    """None, or one for each of the segment's subnets, in any order."""
    hyper_converged: HyperConverged = field(default_factory=HyperConverged)
    other_networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    """What is worth knowing and stops nothing: warnings, and errors that are waived."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the stack has of each of the segment's subnets, in their order."""
        return parts_of(self.segment, self.slices)

    @property
    def slice(self) -> Slice | None:
        """The slice of the segment's first subnet."""
        return next((slice_ for slice_ in self.slices if slice_.family == self.segment.subnet.version), None)

    @property
    def span(self) -> AddressRange:
        """The addresses of the first subnet that belong to the stack: its slice, or all that is usable."""
        return self.spans[0]

    @property
    def spans(self) -> tuple[AddressRange, ...]:
        """The same for each address family, in the order of the segment's subnets."""
        return tuple(part.span for part in self.parts)

    @property
    def cni_config(self) -> dict[str, Any]:
        """The CNI configuration of the NetworkAttachmentDefinition."""
        return self.attachment.cni_config(self.segment, self.slices)

    @property
    def cni_json(self) -> str:
        """The same as the canonical JSON that the object holds."""
        return canonical_json(self.cni_config)

    @property
    def demand(self) -> int | None:
        """Addresses of each family that the cluster needs, or None when `nodes` is not given."""
        return None if self.demand_sum is None else self.demand_sum.total

    @property
    def demand_sum(self) -> Demand | None:
        """What that is the sum of: nodes, sync controllers, surge and headroom."""
        return demand_of(self.cluster)

    @property
    def capacity(self) -> int | None:
        """Pods that can get an address of each family, or None when the IPAM keeps no count of its own here."""
        ipam = self.attachment.ipam
        return ipam.hands_out(self.segment, self.slices) if isinstance(ipam, Whereabouts) else None


def load_stack(name: str, values: Mapping[str, object]) -> Stack:
    """Read one stack from its config values (key without the project's namespace, to YAML value or JSON text).

    Raises ConfigError with every mistake that is in them.
    """
    findings: list[Finding] = list(_stack_name(name))
    parts: dict[str, Any] = {}
    # In one order, whoever passes the values: the CLI sorts them, a file does not.
    for key, raw in sorted(values.items(), key=lambda item: [*_SECTIONS, item[0]].index(item[0])):
        section = _SECTIONS.get(key)
        if section is None:
            near = difflib.get_close_matches(key, _SECTIONS, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            findings.append(
                Finding(
                    "error",
                    "key-unknown",
                    name,
                    key,
                    None,
                    "is not a config key",
                    f"{hint}Keys: {', '.join(_SECTIONS)}",
                )
            )
            continue
        result = parse(section, _decoded(raw), stack=name, key=key)
        if isinstance(result, tuple):
            findings.extend(result)
        else:
            parts[key] = result.root if isinstance(result, RootModel) else result
    findings.extend(
        Finding("error", "key-missing", name, key, None, "is required", _WHERE_MISSING[key])
        for key in _REQUIRED
        if key not in values
    )
    waivers = parts.pop("waivers", {})
    fields = {_FIELDS.get(key, key): value for key, value in parts.items()}
    draft = Draft(name, **fields)
    broken = [finding for rule in RULES for finding in rule(draft)]
    findings.extend(apply_waivers(name, broken, waivers, known=CODES))
    if any(finding.blocks for finding in findings):
        raise ConfigError(finding for finding in findings if finding.blocks)
    return Stack(name, **fields, findings=tuple(findings))


_WHERE_MISSING = {
    "segment": "Set it in Pulumi.yaml under config.segment.default, so that all stacks share it",
    "cluster": "Add it to the stack file, such as cluster: {context: prod-1}",
    "attachment": "Add it to the stack file, such as attachment: {type: macvlan, name: migration, master: eth1}",
}


def _decoded(raw: object) -> object:
    """Pulumi hands structured values to a program as JSON text; a stack file holds them as they are."""
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _stack_name(name: str) -> Iterator[Finding]:
    # The name becomes the value of a label (app.kubernetes.io/instance).
    if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", name):
        yield Finding(
            "error",
            "stack-name",
            name,
            "stack",
            name,
            "cannot be the value of a Kubernetes label (at most 63 letters, digits, - _ ., beginning and ending with a"
            " letter or digit)",
            "Rename the stack with pulumi stack rename",
        )
