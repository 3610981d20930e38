"""The component for other languages: what it refuses before anything is made, one line each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import healthy
import pulumi
import pytest
from pulumi.errors import InputPropertiesError

from mignet.program import component

TYPE = "migration-network:index:MigrationNetwork"


@pytest.fixture
def components(monkeypatch: pytest.MonkeyPatch) -> Iterator[component.Components]:
    # An Output needs a loop, and what ran before may have left none.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    monkeypatch.delenv("PULUMI_PYTHON_CMD", raising=False)
    yield component.Components([component.MigrationNetwork], component.PACKAGE, None, "0.0.0")
    asyncio.set_event_loop(None)
    loop.close()


def refused(components: component.Components, **values: Any) -> dict[str, str]:
    with pytest.raises(InputPropertiesError) as caught:
        components.construct("live", TYPE, healthy.VALUES | values)
    return {each["property_path"]: each["reason"] for each in caught.value.errors or ()}


def test_what_is_not_known_yet_and_what_is_secret_is_refused(components: component.Components) -> None:
    late = {"rangeStart": pulumi.Output.from_input("10.200.5.10"), "rangeEnd": "10.200.5.60"}
    unknown = pulumi.runtime.rpc.deserialize_property(pulumi.runtime.rpc.UNKNOWN, keep_unknowns=True)
    found = refused(components, slice=late, otherNetworks={"machine": [unknown]})
    assert set(found) == {"slice.rangeStart", "otherNetworks.machine[0]"}
    assert found["slice.rangeStart"] == (
        "slice.rangeStart is an output of another resource, or a secret: it is not known before that is made."
        " Write the value itself, or take it from the stack's config"
    )


def test_every_mistake_is_told_at_its_property(components: component.Components) -> None:
    found = refused(
        components,
        slice={"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.9"},
        attachment={"type": "macvlan", "name": "migration", "master": "eth1", "mastr": "eth1"},
    )
    assert set(found) == {"slice.rangeEnd", "attachment.mastr"}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("uplink", {"uplink": {"vlan": {"baseInterface": "eth1", "id": 2001}}}),
        ("attachment", {"attachment": healthy.VALUES["attachment"] | {"rollout": "rename"}}),
    ],
)
def test_what_waits_in_another_process_needs_its_python(
    components: component.Components, key: str, values: dict[str, Any]
) -> None:
    if key == "uplink":
        values |= {"attachment": healthy.VALUES["attachment"] | {"master": "eth1.2001"}}
    (said,) = refused(components, **values).items()
    assert said[0] == key
    assert "Set PULUMI_PYTHON_CMD=/" in said[1]


def test_whole_numbers_are_whole_again() -> None:
    assert component.sections({"segment": {"mtu": 9000.0}, "hyper_converged": {}}) == {
        "segment": {"mtu": 9000},
        "hyperConverged": {},
    }
