"""The sites of a routed segment: which clusters are in each, its gateway, and what was measured to other sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.finding import few
from config.sites import SiteSegment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.stack import Stack
    from config.types.addressing import Address, Network
    from mignet.fleet.last_checkup import Checkup
    from mignet.report.status import Tone


@dataclass(frozen=True, slots=True)
class Site:
    """One site of a segment, as far as the report is about clusters in it."""

    name: str
    stacks: tuple[str, ...]
    subnets: tuple[Network, ...]
    gateways: tuple[Address, ...]
    vlan: int | None
    mtu: int | None
    """Bytes, within the site."""
    supernets: tuple[Network, ...]
    path_mtu: int | None
    """Bytes that pass to other sites, where the segment says so."""
    tone: Tone
    """How its paths to other sites stand, as they were measured."""
    measured: str

    @property
    def clusters(self) -> str:
        """The clusters in it, in words."""
        return few(self.stacks)

    @property
    def link(self) -> str:
        """Its VLAN and MTU in words."""
        vlan = "" if self.vlan is None else f"VLAN {self.vlan}"
        mtu = "" if self.mtu is None else f"MTU {self.mtu}"
        return ", ".join(filter(None, (vlan, mtu)))

    @property
    def between(self) -> str:
        """What passes to other sites, in words."""
        return "MTU of the sites" if self.path_mtu is None else f"at most {self.path_mtu} bytes a packet"


def sites_of(stacks: Sequence[Stack], checkup: Checkup | None) -> Iterator[Site]:
    """Yield each site that one of the stacks is in, by name."""
    by_site: dict[SiteSegment, list[Stack]] = {}
    for stack in stacks:
        if isinstance(stack.segment, SiteSegment):
            by_site.setdefault(stack.segment, []).append(stack)
    for segment, here in sorted(by_site.items(), key=lambda item: item[0].site):
        names = {stack.name for stack in here}
        others = {stack.name for stack in stacks} - names
        tone, words = _measured(names, others, checkup)
        yield Site(
            segment.site,
            tuple(stack.name for stack in here),
            segment.subnets,
            segment.gateways,
            segment.vlan,
            segment.mtu,
            segment.supernets,
            segment.path_mtu,
            tone,
            words,
        )


def _measured(names: set[str], others: set[str], checkup: Checkup | None) -> tuple[Tone, str]:
    if checkup is None or not checkup.counts:
        return "idle", "not measured"
    ways = [
        way
        for (source, target), found in checkup.between.items()
        if (source in names and target in others) or (source in others and target in names)
        for way in found
    ]
    broken = [way for way in ways if not way.ok]
    if not ways:
        return "idle", "not measured"
    if not broken:
        return "good", f"{len(ways)} paths measured {checkup.when}, all healthy"
    words = f"{len(broken)} of {len(ways)} measured paths are broken, such as {broken[0].words}"
    return "bad" if len(broken) == len(ways) else "warn", words
