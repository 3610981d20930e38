"""Every rule on both families: an example of the catalogue breaks the same rules with IPv6 addresses, and with both.

The addresses of an example are carried over to fd00::/96, the last 32 bits of which are those of IPv4: what is equal,
overlaps, or has no room there, is and has so here.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT

sys.path.insert(0, str(ROOT / "tools" / "docs"))

import catalogue

BASE = int(ipaddress.ip_address("fd00::"))
ADDRESS = re.compile(r"(?<![\d.])(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?:/(\d{1,2}))?(?![\d.])")


def carried(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        try:
            number = int(ipaddress.IPv4Address(match[1]))
        except ValueError:
            return match[0]
        address = ipaddress.IPv6Address(BASE + number)
        return f"{address}/{96 + int(match[2])}" if match[2] else str(address)

    return ADDRESS.sub(one, text)


def in_ipv6(value: Any) -> Any:
    match value:
        case dict():
            return {key: in_ipv6(each) for key, each in value.items()}
        case list():
            return [in_ipv6(each) for each in value]
        case str():
            return carried(value)
    return value


def six(example: Any) -> Any | None:
    """Return an example with its addresses carried over; None where it has none, or is no YAML."""
    files = {}
    for name, text in example.files.items():
        try:
            files[name] = yaml.safe_dump(in_ipv6(yaml.safe_load(text)))
        except yaml.YAMLError:
            return None
    return replace(example, files=files)


def examples() -> Iterator[Any]:
    for example in catalogue.examples():
        moved = six(example)
        if moved is not None:
            yield pytest.param(example, moved, id=example.code)


OTHERWISE = {
    "project-file": "is about text that no YAML parser writes",
    "subnet-not-unicast": "multicast is elsewhere in IPv6; tests/unit/config has it",
    "cudn-excludes": "OVN gives of an IPv6 subnet only its first addresses: localnet-window comes before",
    "slice-family": "mixes the families",
    "slice-families": "mixes the families",
    "segment-family-order": "mixes the families",
    "site-families": "mixes the families",
    "slice-unused": "has DHCP, which gives no IPv6 (dhcp-family)",
    "ipam-mixed": "has DHCP, which gives no IPv6 (dhcp-family)",
    "site-dhcp": "has DHCP, which gives no IPv6 (dhcp-family)",
}
"""Examples that are another case in IPv6, and why."""


def found(example: Any, folder: Path) -> list[tuple[str, str, str]]:
    folder.mkdir()
    return [(each.stack, each.code, str(each.key)) for each in example.findings(folder)]


@pytest.mark.parametrize(("example", "moved"), list(examples()))
def test_a_rule_holds_in_ipv6_as_in_ipv4(example: Any, moved: Any, tmp_path: Path) -> None:
    four, six_ = found(example, tmp_path / "four"), found(moved, tmp_path / "six")
    assert (six_ == four) is (example.code not in OTHERWISE), six_


def doubled(value: Any, key: str = "") -> Any:
    """Return what a stack says of IPv4 said of both families, wherever it may be."""
    match value:
        case {"rangeStart": _} | {"rangeEnd": _}:
            return [value, in_ipv6(value)]
        case str() if key in {"subnet", "supernet", "gateway"}:
            return [value, carried(value)]
        case list() if key == "reserved":
            return [*value, *in_ipv6(value)]
        case dict():
            return {name: doubled(each, name.partition(":")[2] or name) for name, each in value.items()}
    return value


@pytest.mark.parametrize("example", [pytest.param(each.values[0], id=each.id) for each in examples()])
def test_a_rule_holds_in_dual_stack_as_in_ipv4(example: Any, tmp_path: Path) -> None:
    if example.code in OTHERWISE or "fd00" in "".join(example.files.values()):
        pytest.skip(OTHERWISE.get(example.code, "is of IPv6 already"))
    both = replace(
        example, files={name: yaml.safe_dump(doubled(yaml.safe_load(text))) for name, text in example.files.items()}
    )
    codes = {code for _, code, _ in found(example, tmp_path / "four")}
    assert {code for _, code, _ in found(both, tmp_path / "both")} == codes
