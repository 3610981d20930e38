"""The JSON Schema of stack files: what is valid passes it, and what a schema can say is refused by it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support import ROOT

from config.files.stack_schema import FILE, MODELINE
from config.finding import ConfigError
from config.loading import SECTIONS, load_stack
from config.rules.stack_rules import CODES
from config.types.addressing import AddressRange

SCHEMA = json.loads((ROOT / FILE).read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def test_the_committed_schema_is_what_the_models_say() -> None:
    mignet = Path(sys.executable).parent / "mignet"
    fresh = subprocess.run([mignet, "schema"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / FILE).read_text() == fresh, "run: mignet schema --write"


def test_it_is_a_schema_of_draft_2020_12() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_the_shipped_stack_files_name_it_first_and_are_valid(path: Path) -> None:
    assert path.read_text().splitlines()[0] == MODELINE
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def _module(name: str) -> Any:
    """Load another test module, for the configurations in it."""
    spec = importlib.util.spec_from_file_location(
        f"{Path(name).name}_cases", ROOT / "tests" / "unit" / "config" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(*modules: str) -> Iterator[dict[str, Any]]:
    """Yield every stack that a test of those modules is parametrized with."""
    for module in map(_module, modules):
        if hasattr(module, "GOOD"):
            yield module.GOOD
        for test in vars(module).values():
            for mark in getattr(test, "pytestmark", ()):
                for values in mark.args[1] if mark.name == "parametrize" else ():
                    for each in values if isinstance(values, tuple) else (values,):
                        if isinstance(each, dict) and "cluster" in each:
                            yield each


CASES = list(cases("test_loading", "attachment/test_rendering", "attachment/test_documents_examples"))

NOT_SAID = {
    # Between keys, or between a value and the subnet: no schema says that.
    "bridge-default-gateway", "bridge-hairpin-promisc", "bridge-masq-backend", "exclude-outside", "gateway-outside",
    "migrations-node-cluster", "mtu-above-segment", "range-empty", "reserved-outside", "slice-family", "slice-order",
    "slice-outside", "slice-reserved", "slice-too-small", "slice-unused", "stack-name", "subnet-host-bits",
    "subnet-not-unicast", "subnet-overlap", "subnet-too-small", "vlan-differs", "vlan-trunk-item", "vlan-trunk-order",
    "waiver-unknown",
    # Arithmetic with units.
    "bandwidth-small", "range-invalid",
    # Between keys of one section.
    "name-rollout", "ipvlan-dhcp", "localnet-name",
    # Between sections.
    *CODES,
}  # fmt: skip


def test_there_are_cases_of_both_kinds() -> None:
    outcomes = [bool(_codes(case)) for case in CASES]
    assert outcomes.count(True) > 40
    assert outcomes.count(False) >= 1


def _codes(values: dict[str, Any]) -> set[str]:
    try:
        load_stack("dev", values)
    except ConfigError as error:
        # The segment comes from Pulumi.yaml, so a stack file without it is fine.
        return {finding.code for finding in error.findings if (finding.code, finding.key) != ("key-missing", "segment")}
    return set()


@pytest.mark.parametrize("prefix", ["", "migration-network:"])
@pytest.mark.parametrize("values", CASES)
def test_the_schema_refuses_what_the_models_refuse_as_far_as_a_schema_can(values: dict[str, Any], prefix: str) -> None:
    codes = _codes(values)
    file = {"config": {f"{prefix}{key}": value for key, value in values.items()}}
    mistakes = [error.message for error in VALIDATOR.iter_errors(file)]
    assert bool(mistakes) is bool(codes - NOT_SAID), codes


BOUNDED = [
    (section, name, field)
    for section, model in SECTIONS.items()
    for name, field in model.model_json_schema().get("properties", {}).items()
    for choice in field.get("anyOf", [field])
    if choice.get("type") == "integer"
]
STACK: dict[str, Any] = {
    "cluster": {"context": "dev"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
    "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
    "segment": {"subnet": "10.200.5.0/24"},
}


def refuses(section: str, key: str, value: object) -> bool:
    values = deepcopy(STACK)
    values.setdefault(section, {})[key] = value
    return not VALIDATOR.is_valid({"config": values})


@pytest.mark.parametrize(("section", "key", "field"), BOUNDED)
def test_a_number_beyond_its_bounds_or_in_quotes_is_refused(section: str, key: str, field: dict[str, Any]) -> None:
    (bounds,) = (each for each in field.get("anyOf", [field]) if each.get("type") == "integer")
    low, high = bounds["minimum"], bounds["maximum"]
    for accepted in (low, high):
        assert not refuses(section, key, accepted)
    for wrong in (low - 1, high + 1, str(low), low + 0.5, True, [low]):
        assert refuses(section, key, wrong), wrong


@pytest.mark.parametrize("section", [*STACK, "hyperConverged"])
def test_an_unknown_key_is_refused_in_every_section(section: str) -> None:
    assert refuses(section, "no-such-key", 1)


@pytest.mark.parametrize(
    "config",
    [
        {"clustr": {}},
        {"migration-network:clustr": {}},
        {"cluster": "text"},
        {"attachment": {"type": "sriov", "name": "m"}},
        {"attachment": {"type": "macvlan", "name": "m"}},
        {"attachment": {"type": "macvlan", "name": "m", "master": "eth1", "bridge": "br0"}},
        {"attachment": {"type": "macvlan", "name": "m", "master": "eth1", "mode": "vlan"}},
        {"otherNetworks": {"machine": "10.0.0.0"}},
        {"waivers": {"slice-too-small": ""}},
    ],
)
def test_what_is_no_key_no_choice_or_incomplete_is_refused(config: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({"config": STACK | config})


def test_a_stack_file_without_cluster_or_attachment_is_refused_and_one_without_segment_is_not() -> None:
    for key in ("cluster", "attachment", "segment"):
        rest = {name: value for name, value in STACK.items() if name != key}
        assert VALIDATOR.is_valid({"config": rest}) is (key == "segment")


def test_config_of_other_projects_and_keys_of_pulumi_itself_are_accepted() -> None:
    VALIDATOR.validate({"config": STACK | {"aws:region": "x"}, "encryptionsalt": "v1:…", "environment": ["a"]})


def test_every_key_says_what_it_is() -> None:
    silent = [
        f"{name}.{key}"
        for name, definition in SCHEMA["$defs"].items()
        for key, field in definition.get("properties", {}).items()
        if "description" not in field and "const" not in field
    ]
    assert not silent


@given(st.ip_addresses(), st.integers(0, 9))
def test_every_address_and_range_that_the_models_accept_passes(address: Any, more: int) -> None:
    assert not refuses("slice", "rangeStart", str(address))
    assert not refuses("slice", "rangeStart", address.exploded)
    prefix = 32 if address.version == 4 else 128
    assert not refuses("segment", "subnet", f"{address}/{prefix}")
    end = type(address)(min(int(address) + more, 2**prefix - 1))
    for text in (f"{address}-{end}", f"{address} - {end}", str(address)):
        AddressRange.parse(text)
        assert not refuses("segment", "reserved", [text])


@pytest.mark.parametrize("text", ["10.0.0.256", "10.0.0", "10.0.0.01", "eth1", "", "1.2.3.4/24", "fd00", "1.2.3.4-"])
def test_text_that_is_no_address_is_refused(text: str) -> None:
    assert refuses("slice", "rangeStart", text)
    assert refuses("segment", "reserved", [text])
