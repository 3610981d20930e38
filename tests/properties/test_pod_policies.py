"""What MultiNetworkPolicies cut: the ranges that come out, against asking for each address and port on its own."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.loading import load_stack
from config.types.addressing import AddressRange
from mignet.exports import firewall
from mignet.exports.multi_network_policy import policy
from mignet.kube.kubevirt.pods import HANDLER, LABEL, SYNC
from mignet.kube.network.pod_policies import Endpoint, about, cut

PORTS = (10, 14)
SPAN = {4: AddressRange.parse("10.0.0.3-10.0.0.12"), 6: AddressRange.parse("fd00::3-fd00::c")}
BLOCKS = {
    4: ["10.0.0.0/30", "10.0.0.4/31", "10.0.0.4/30", "10.0.0.8/29", "10.0.0.0/28", "10.0.0.12/32", "0.0.0.0/0"],
    6: ["fd00::/126", "fd00::4/127", "fd00::4/126", "fd00::8/125", "fd00::/124", "fd00::c/128", "::/0"],
}


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    blocks = st.sampled_from([*BLOCKS[4], *BLOCKS[6]])

    def block(cidr: str) -> st.SearchStrategy[dict[str, Any]]:
        whole = ipaddress.ip_network(cidr)
        inside = [each for each in (*BLOCKS[4], *BLOCKS[6]) if _inside(each, whole)]
        excepts = st.lists(st.sampled_from(inside), max_size=2) if inside else st.just([])
        return excepts.map(lambda chosen: {"ipBlock": {"cidr": cidr} | ({"except": chosen} if chosen else {})})

    peer = blocks.flatmap(block) | st.just({"podSelector": {}})
    port = st.fixed_dictionaries(
        {"port": st.integers(8, 16)},
        optional={"endPort": st.integers(16, 18), "protocol": st.sampled_from(["TCP", "UDP"])},
    )
    rule = st.fixed_dictionaries({}, optional={"from": st.lists(peer, max_size=3), "ports": st.lists(port, max_size=3)})
    return draw(st.lists(rule, max_size=4))


def _inside(text: str, whole: Any) -> bool:
    each: Any = ipaddress.ip_network(text)
    return each.version == whole.version and each != whole and each.subnet_of(whole)


def allows(rule: dict[str, Any], address: Any, port: int, *, same: bool) -> bool:
    """Ask as the document of NetworkPolicy says it, of one address and one port."""
    listed = rule.get("ports") or [{}]
    if not any(
        each.get("protocol", "TCP") == "TCP"
        and ("port" not in each or each["port"] <= port <= each.get("endPort", each["port"]))
        for each in listed
    ):
        return False
    for peer in rule.get("from") or [{"podSelector": {}, "any": True}]:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            if address in ipaddress.ip_network(block["cidr"]) and not any(
                address in ipaddress.ip_network(each) for each in block.get("except", ())
            ):
                return True
        elif same or "any" in peer:
            return True
    return False


@given(rules(), st.booleans(), st.sampled_from([4, 6]))
def test_what_is_cut_is_what_no_rule_allows_on_all_ports(rules: list[dict[str, Any]], same: bool, family: int) -> None:  # noqa: FBT001
    span = SPAN[family]
    policies = [{"metadata": {"name": "p", "namespace": "n"}, "spec": {"podSelector": {}, "ingress": rules}}]
    other = Endpoint("n", {LABEL: HANDLER}, [span])

    found = cut(policies, "Ingress", PORTS, other=other, same_cluster=same)

    for distance in range(span.size):
        address = span.first + distance
        whole = all(
            any(allows(rule, address, port, same=same) for rule in rules) for port in range(PORTS[0], PORTS[1] + 1)
        )
        assert whole != any(address in each for each in found), (address, found)


@given(st.integers(2, 60), st.integers(61, 200), st.booleans(), st.sampled_from([HANDLER, SYNC]))
def test_the_policy_that_is_exported_lets_everything_through_that_must_be_open(
    first: int,
    second: int,
    dual: bool,  # noqa: FBT001
    role: str,
) -> None:
    def stack(name: str, at: int) -> Any:
        spans: Any = [{"rangeStart": f"10.200.5.{at}", "rangeEnd": f"10.200.5.{at + 20}"}]
        subnets = ["10.200.5.0/24"]
        if dual:
            subnets.append("fd00:200::/64")
            spans.append({"rangeStart": f"fd00:200::{at:x}", "rangeEnd": f"fd00:200::{at + 20:x}"})
        attachment = {"type": "macvlan", "name": "migration", "master": "eth1"}
        written = {"segment": {"subnet": subnets}, "cluster": {"context": name}, "attachment": attachment}
        return load_stack(name, written | {"slice": spans})

    one, other = stack("a", first), stack("b", second + 20)
    openings = list(firewall.openings((one, other), sync_port=9185, handler_ports=(32768, 60999)))
    policies = [policy(one, openings), {**policy(one, openings), "spec": {"podSelector": {}}}]
    own = Endpoint(one.cluster.namespace, {LABEL: role}, one.spans)
    ports = (9185, 9185) if role == SYNC else (32768, 60999)

    for direction in ("Ingress", "Egress"):
        selecting = about(policies, one.network, own, direction)
        assert selecting
        there = Endpoint(other.cluster.namespace, {LABEL: role}, other.spans)
        assert cut(selecting, direction, ports, other=there, same_cluster=False) == []
        closed = cut(selecting, direction, (22, 22), other=there, same_cluster=False)
        assert closed == list(other.spans)
