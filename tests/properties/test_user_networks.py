"""The nearest slice whose excludes fit a ClusterUserDefinedNetwork."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.attachment.user_network import MOST_EXCLUDES, ClusterUserDefinedNetwork
from config.segment import Segment
from config.slice import Slice

NETWORK = ClusterUserDefinedNetwork(type="clusterUserDefinedNetwork", name="migration", physicalNetworkName="physnet")
SUBNETS = ("10.128.0.0/9", "10.200.0.0/16", "10.200.5.0/24", "fd00:200:5::/64")


@st.composite
def drafts(draw: st.DrawFn) -> tuple[Segment, Slice]:
    subnet = ipaddress.ip_network(draw(st.sampled_from(SUBNETS)))
    most = min(subnet.num_addresses, 2**16) - 2
    first, last = sorted(draw(st.tuples(st.integers(1, most), st.integers(1, most))))
    segment = Segment.model_validate({"subnet": str(subnet)}, strict=False)
    values: dict[str, Any] = {"rangeStart": str(subnet[first]), "rangeEnd": str(subnet[last])}
    return segment, Slice.model_validate(values)


@settings(max_examples=60, deadline=None)
@given(drafts())
def test_it_lies_inside_and_fits_and_one_that_fits_is_itself(draft: tuple[Segment, Slice]) -> None:
    segment, slice_ = draft
    found = NETWORK.fitting(segment, (slice_,))
    assume(found is not None)
    assert found is not None
    (near,) = found
    assert near.range_start in slice_.span
    assert near.range_end in slice_.span
    assert len(NETWORK.excluded(segment, found)) <= MOST_EXCLUDES
    if len(NETWORK.excluded(segment, (slice_,))) <= MOST_EXCLUDES:
        assert near == slice_
