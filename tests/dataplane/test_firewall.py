"""The exported nftables rules in a real nft, in a router between two sites: they let through what they say, no more."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from config.types.addressing import AddressRange
from mignet.exports import firewall
from mignet.exports.firewall import Opening
from mignet.kube.kubevirt.pods import HANDLER_PORTS
from mignet.lab.dataplane.namespaces import Namespace
from mignet.lab.errors import LabError

ROUTER = "192.0.2.1"
HERE, THERE = "10.200.5.10", "10.200.5.70"
STRANGER, NEIGHBOUR = "10.200.5.200", "10.200.5.201"
"""Addresses of no slice, one on each side."""
SLICES = {"a": AddressRange.parse("10.200.5.10-10.200.5.60"), "b": AddressRange.parse("10.200.5.61-10.200.5.110")}
PATIENCE = 1.0
"""Seconds after which a connection counts as one that is not let through: without a rule it takes a millisecond."""

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft on PATH")


@dataclass
class Sites:
    """Two sites, each with an address in its slice and one outside, and a router between them."""

    a: Namespace
    b: Namespace
    router: Namespace

    def connects(self, source: str, target: str, port: int) -> bool:
        """Tell whether a connection from one address to another one's port comes about."""
        sender, taker = (self.a if each in {HERE, STRANGER} else self.b for each in (source, target))
        with taker.inside(lambda: socket.create_server((target, port))), sender.inside(socket.socket) as one:
            one.bind((source, 0))
            one.settimeout(PATIENCE)
            try:
                one.connect((target, port))
            except OSError:
                return False
            return True


@pytest.fixture
def sites() -> Iterator[Sites]:
    with contextlib.ExitStack() as stack:
        a, b, router = (stack.enter_context(contextlib.closing(Namespace())) for _ in range(3))
        for name, space, addresses in (("site-a", a, (HERE, STRANGER)), ("site-b", b, (THERE, NEIGHBOUR))):
            space.ip(f"link add name eth0 type veth peer name {name} netns {router.path}", "link set eth0 up")
            space.ip(*(f"address add {each}/32 dev eth0" for each in addresses))
            space.ip(f"route add {ROUTER} dev eth0", f"route add default via {ROUTER}")
            router.ip(f"link set {name} up", f"address add {ROUTER}/32 dev {name}")
            router.ip(*(f"route add {each}/32 dev {name}" for each in addresses))
        router.setting("ipv4.ip_forward", 1)
        yield Sites(a, b, router)


def rules() -> str:
    """Return the rules for two sites, as `mignet export firewall` writes them."""
    openings = []
    for one, sends in SLICES.items():
        for other, takes in SLICES.items():
            if one != other:
                openings.append(Opening(one, sends, other, takes, "tcp", (9185, 9185), firewall.SYNC))
            openings.append(Opening(one, sends, other, takes, "tcp", HANDLER_PORTS, firewall.HANDLERS))
        openings.append(Opening("any", None, one, sends, "icmp", None, firewall.SIZE))
    return firewall.as_nftables(openings, hook="forward")


WANTED = [(HERE, THERE, 9185), (THERE, HERE, 9185), (HERE, THERE, 32768), (THERE, HERE, 60999)]
UNWANTED = [(HERE, THERE, 22), (HERE, THERE, 32767), (STRANGER, THERE, 9185), (HERE, NEIGHBOUR, 40000)]
NEITHER = (STRANGER, NEIGHBOUR, 22)


def test_exactly_what_is_wanted_comes_through(sites: Sites) -> None:
    every = [*WANTED, *UNWANTED, NEITHER]
    assert all(sites.connects(*way) for way in every), "nothing is in the way before"
    try:
        sites.router.run("nft", "-f", "-", text=rules())
    except LabError as error:
        if "Operation not supported" in str(error) or "Protocol not supported" in str(error):
            pytest.skip(f"this kernel has no nftables: {error}")
        raise
    assert [way for way in WANTED if not sites.connects(*way)] == []
    assert [way for way in UNWANTED if sites.connects(*way)] == []
    assert sites.connects(*NEITHER), "the rules are about the slices alone"
