"""Published node networks: a stack file renders each as it was published, field by field, and reads it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from nmstate_library import Nmstate
from published_uplinks import PUBLISHED, Published

from config.attachment.tags import attachment_tags
from config.loading import load_stack
from config.rules.uplink_rules import attached_to
from config.stack import Stack
from mignet.kube.network.uplink_reading import Reading, differences, read

CASES = [pytest.param(published, id=name) for name, published in PUBLISHED.items()]


@pytest.fixture(scope="module")
def nmstate() -> Iterator[Nmstate]:
    with Nmstate() as program:
        yield program


def stack(published: Published) -> Stack:
    sections = {
        "segment": published.segment,
        "cluster": {"context": "dev", "crossCluster": False},
        "attachment": published.attachment,
        "uplink": published.group,
    }
    return load_stack("dev", sections | {"waivers": dict.fromkeys(published.waivers, "as it was published")})


def reading(published: Published) -> Reading:
    declared = stack(published)
    end = attached_to(declared.attachment)
    tags = attachment_tags(declared.attachment, declared.segment)
    return read(published.policy, declared.segment, end=end[1] if end else None, tags=tags)


@pytest.mark.parametrize("published", CASES)
def test_a_stack_renders_the_published_policy_and_nothing_else_is_said(published: Published) -> None:
    (policy,) = stack(published).policies
    assert policy.spec.get("nodeSelector", {}) == published.selector
    lost, added = differences(yaml.safe_load(published.state), policy.spec["desiredState"])
    assert (tuple(lost), tuple(added)) == (published.lost, published.added)


@pytest.mark.parametrize("published", CASES)
def test_a_published_policy_is_read_back_into_the_stack_that_renders_it(published: Published) -> None:
    found = reading(published)
    assert found.group == published.group
    assert (found.lost, found.added, found.refused) == (published.lost, published.added, ())


@pytest.mark.parametrize("published", CASES)
def test_nmstate_takes_what_is_rendered(published: Published, nmstate: Nmstate) -> None:
    (policy,) = stack(published).policies
    assert nmstate.refusal(policy.spec["desiredState"]) == ""
