"""One stack: one cluster, its attachment to the segment, its slice and its limits."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, Field, RootModel, WithJsonSchema

from config.addressing import AddressRange, Network, Subnet
from config.attachment import UNFIT_TYPES, AnyAttachment
from config.attachment_content import canonical_json
from config.cluster import Cluster
from config.demand import Demand, demand_of
from config.findings import ConfigError, Finding, apply_waivers
from config.fleet_rules import CODES as FLEET_CODES
from config.hyperconverged import HyperConverged
from config.ipam import Slice, Whereabouts
from config.live_codes import WAIVABLE_LIVE
from config.localnet import OvnIpam
from config.model import OneOrMore, Refusal, parse, refuse
from config.part import Part, parts_of
from config.segment import Segment
from config.selection import Labels, Waves
from config.stack_rules import CODES, RULES, Draft
from config.uplink import Policy, Uplink, policies
from config.uplink_rules import attachment_tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Attachment(RootModel[AnyAttachment]):
    """The attachment, of whichever type."""

    refusals: ClassVar[Mapping[str, Refusal]] = UNFIT_TYPES


class Slices(RootModel[Annotated[tuple[Slice, ...], OneOrMore(), Field(min_length=1)]]):
    """The slice, or a list of one of each family."""


class _OtherNetworks(RootModel[dict[str, Annotated[tuple[Subnet, ...], OneOrMore()]]]):
    """Networks that the segment must not overlap, by name: `machine: 10.0.0.0/16`, or a list of them."""


def _reason(value: str) -> str:
    if not value.strip():
        refuse("waiver-reason", "is no reason", "Say in a sentence why the rule may be broken here")
    return value


_Reason = Annotated[str, AfterValidator(_reason), WithJsonSchema({"type": "string", "pattern": r"\S"})]


class _Waivers(RootModel[dict[str, _Reason]]):
    """Rules that are accepted as broken: the rule's code, and the reason."""


_SECTIONS: dict[str, type[BaseModel]] = {
    "segment": Segment,
    "cluster": Cluster,
    "attachment": _Attachment,
    "slice": Slices,
    "uplink": Uplink,
    "hyperConverged": HyperConverged,
    "otherNetworks": _OtherNetworks,
    "labels": Labels,
    "waves": Waves,
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
    attachment: AnyAttachment
    slices: tuple[Slice, ...] = ()
    """None, or one for each of the segment's subnets, in any order."""
    hyper_converged: HyperConverged = field(default_factory=HyperConverged)
    other_networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    uplink: Uplink | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """What `--select` and waves choose the stack by."""
    waves: tuple[tuple[str, ...], ...] = ()
    """The order in which the whole fleet is applied."""
    waivers: Mapping[str, str] = field(default_factory=dict)
    """Rules that are accepted as broken: code to reason."""
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
    def network(self) -> str:
        """The NetworkAttachmentDefinition's name as it is on the cluster, and the HyperConverged's `network`."""
        return self.attachment.network(self.segment, self.slices)

    @property
    def cni_config(self) -> dict[str, Any]:
        """The CNI configuration of the NetworkAttachmentDefinition."""
        return self.attachment.cni_config(self.segment, self.slices, namespace=self.cluster.namespace)

    @property
    def cni_json(self) -> str:
        """The same as the canonical JSON that the object holds."""
        return canonical_json(self.cni_config)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The NodeNetworkConfigurationPolicies of the uplink, one for each node group."""
        if self.uplink is None:
            return ()
        return tuple(policies(self.name, self.uplink, self.segment, attachment_tags(self.attachment, self.segment)))

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
        return ipam.hands_out(self.segment, self.slices) if isinstance(ipam, Whereabouts | OvnIpam) else None


def load_stack(name: str, values: Mapping[str, object]) -> Stack:
    """Read one stack from its config values (key without the project's namespace, to YAML value or JSON text).

    Raises ConfigError with every mistake that is in them.
    """
    stack, findings = read_stack(name, values)
    if stack is None or any(finding.blocks for finding in findings):
        raise ConfigError(finding for finding in findings if finding.blocks)
    return stack


def read_stack(name: str, values: Mapping[str, object]) -> tuple[Stack | None, tuple[Finding, ...]]:
    """Read one stack as `load_stack` does, and return it with all that was found, errors and warnings.

    The stack is there when every section could be read, also when it breaks a rule; it must not be applied then.
    """
    findings: list[Finding] = list(_stack_name(name))
    parts: dict[str, Any] = {}
    # In one order, whoever passes the values: the CLI sorts them, a file does not.
    for key, raw in sorted(values.items(), key=_place):
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
    readable = not findings
    waivers = parts.pop("waivers", {})
    # No rule is about how a stack is chosen.
    choice = {key: parts.pop(key) for key in ("labels", "waves") if key in parts}
    fields = {_FIELDS.get(key, key): value for key, value in parts.items()}
    draft = Draft(name, **fields)
    broken = [finding for rule in RULES for finding in rule(draft)]
    findings.extend(apply_waivers(name, broken, waivers, known=WAIVABLE))
    if not readable:
        return None, tuple(findings)
    remarks = tuple(finding for finding in findings if not finding.blocks)
    return Stack(name, **fields, **choice, waivers=waivers, findings=remarks), tuple(findings)


def _place(item: tuple[str, object]) -> int:
    return _ORDER.get(item[0], len(_ORDER))


_ORDER = {key: index for index, key in enumerate(_SECTIONS)}

WAIVABLE = CODES | FLEET_CODES | WAIVABLE_LIVE
"""Every code that a stack may waive."""

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


SECTIONS: Mapping[str, type[BaseModel]] = _SECTIONS
"""The config keys of a stack, each with the model that reads it."""
