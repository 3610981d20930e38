"""Read one stack from its config values, and hold it against every rule that is about it alone."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, Field, RootModel, WithJsonSchema

from config.attachment import UNFIT_TYPES, AnyAttachment
from config.cluster import Cluster
from config.finding import ConfigError, Finding, apply_waivers
from config.hyperconverged import HyperConverged
from config.migration_policy import MigrationPolicies
from config.rules.draft import Draft
from config.rules.fleet_rules import CODES as FLEET_CODES
from config.rules.stack_rules import CODES, RULES
from config.rules.waivable_codes import WAIVABLE_LIVE
from config.segment import Segment, at_site
from config.selection import Labels, Waves
from config.sites import RoutedSegment
from config.slice import Slice
from config.stack import Stack
from config.types.addressing import Subnet
from config.types.json_text import parse_json
from config.types.model import OneOrMore, parse, refuse
from config.types.names import DnsLabel
from config.uplink import Uplink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Slices(RootModel[Annotated[tuple[Slice, ...], OneOrMore(), Field(min_length=1)]]):
    """The slice, or a list of one of each family."""


class _Attachment(RootModel[AnyAttachment]):
    """The attachment, of whichever type."""

    refusals: ClassVar[tuple[Finding, ...]] = UNFIT_TYPES


class _Site(RootModel[DnsLabel]):
    """The site that the cluster is in: one of `segment.sites`."""


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
    "site": _Site,
    "cluster": Cluster,
    "attachment": _Attachment,
    "slice": Slices,
    "uplink": Uplink,
    "hyperConverged": HyperConverged,
    "migrationPolicies": MigrationPolicies,
    "otherNetworks": _OtherNetworks,
    "labels": Labels,
    "waves": Waves,
    "waivers": _Waivers,
}


_FIELDS = {
    "slice": "slices",
    "hyperConverged": "hyper_converged",
    "migrationPolicies": "migration_policies",
    "otherNetworks": "other_networks",
}


_REQUIRED = ("segment", "cluster", "attachment")


def load_stack(name: str, values: Mapping[str, object]) -> Stack:
    """Read one stack from its config values (key without the project's namespace, to YAML value or JSON text).

    Raises ConfigError with every mistake that is in them.
    """
    stack, findings = read_stack(name, values)
    if stack is None or any(finding.blocks for finding in findings):
        raise ConfigError(finding for finding in findings if finding.blocks)
    return replace(stack, values=values)


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
                    key,
                    None,
                    "is not a config key",
                    f"{hint}Keys: {', '.join(_SECTIONS)}",
                    code="key-unknown",
                    stack=name,
                )
            )
            continue
        decoded = _decoded(raw)
        result = parse(_form(section, decoded), decoded, stack=name, key=key)
        if isinstance(result, tuple):
            findings.extend(result)
        else:
            parts[key] = result.root if isinstance(result, RootModel) else result
    findings.extend(
        Finding(key, None, "is required", _WHERE_MISSING[key], code="key-missing", stack=name)
        for key in _REQUIRED
        if key not in values
    )
    site = parts.pop("site", None)
    if "segment" in parts:
        segment = _of_site(parts.pop("segment"), site, stack=name)
        if isinstance(segment, Finding):
            # A site that could not be read is a mistake of its own.
            findings += [segment] if site is not None or "site" not in values else []
        else:
            parts["segment"] = segment
    readable = not findings
    waivers = parts.pop("waivers", {})
    # No rule is about how a stack is chosen.
    choice = {key: parts.pop(key) for key in ("labels", "waves") if key in parts}
    fields = {_FIELDS.get(key, key): value for key, value in parts.items()}
    draft = Draft(name, **fields)
    broken = [at_site(finding, draft.segment) for rule in RULES for finding in rule(draft)]
    findings.extend(apply_waivers(name, broken, waivers, known=WAIVABLE))
    if not readable:
        return None, tuple(findings)
    remarks = tuple(finding for finding in findings if not finding.blocks)
    return Stack(name, **fields, **choice, waivers=waivers, findings=remarks), tuple(findings)


def read_segment(stack: str, values: Mapping[str, object]) -> Segment | tuple[Finding, ...]:
    """Read the segment that a stack is on, that of its site where there are sites, and nothing else of its values."""
    found = parse_segment(stack, values.get("segment"))
    if isinstance(found, tuple):
        return found
    site = None
    if "site" in values:
        read = parse(_Site, _decoded(values["site"]), stack=stack, key="site")
        if isinstance(read, tuple):
            return read
        site = read.root
    segment = _of_site(found, site, stack=stack)
    return (segment,) if isinstance(segment, Finding) else segment


def parse_segment(stack: str, raw: object) -> Segment | RoutedSegment | tuple[Finding, ...]:
    """Read the segment in either form: one subnet of each family, or sites."""
    decoded = _decoded(raw)
    if _is_routed(decoded):
        return parse(RoutedSegment, decoded, stack=stack, key="segment")
    return parse(Segment, decoded, stack=stack, key="segment")


def _form(section: type[BaseModel], decoded: object) -> type[BaseModel]:
    return RoutedSegment if section is Segment and _is_routed(decoded) else section


def _is_routed(decoded: object) -> bool:
    return isinstance(decoded, dict) and not {"sites", "supernet"}.isdisjoint(decoded)


def _of_site(segment: Segment | RoutedSegment, site: str | None, *, stack: str) -> Segment | Finding:
    """Return the segment of a stack in a site; what is wrong when there is none."""
    if isinstance(segment, Segment):
        if site is None:
            return segment
        rule, remedy = "is named, and the segment has no sites", "Remove it, or write segment.sites into Pulumi.yaml"
        return Finding("site", site, rule, remedy, code="site-unknown", stack=stack)
    names = ", ".join(segment.sites)
    if site is None:
        rule, remedy = "is required: the segment has sites", f"Write the one that this cluster is in: {names}"
        return Finding("site", None, rule, remedy, code="site-missing", stack=stack)
    if site not in segment.by_name:
        near = difflib.get_close_matches(site, segment.sites, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        rule, remedy = "is no site of the segment", f"{hint}Sites: {names}"
        return Finding("site", site, rule, remedy, code="site-unknown", stack=stack)
    return segment.by_name[site]


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
        return parse_json(raw)
    except ValueError:
        return raw


def _stack_name(name: str) -> Iterator[Finding]:
    # The name becomes the value of a label (app.kubernetes.io/instance).
    if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", name):
        yield Finding(
            "stack",
            name,
            "cannot be the value of a Kubernetes label (at most 63 letters, digits, - _ ., beginning and ending with a"
            " letter or digit)",
            "Rename the stack with pulumi stack rename",
            code="stack-name",
            stack=name,
        )


SECTIONS: Mapping[str, type[BaseModel]] = _SECTIONS
"""The config keys of a stack, each with the model that reads it."""
