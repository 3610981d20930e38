"""Routed sites: a segment of several subnets, one behind each site's gateway, under one supernet."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from config.finding import Finding
from config.segment import Segment, SiteRoute
from config.types.addressing import Subnet
from config.types.model import Model, OneOrMore, keys_of
from config.types.names import DnsLabel, Mtu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.types.addressing import Network


class RoutedSegment(Model):
    """A segment of sites, in the place of one with a `subnet`: each site has a subnet, and a gateway to the others.

    A stack names its own site: `site: east`. Attachments carry one route, to `supernet` through the site's gateway, so
    that a new site changes no attachment that exists. The routes between the gateways are the routers' own.
    """

    supernets: Annotated[tuple[Subnet, ...], OneOrMore()] = Field(alias="supernet", min_length=1)
    """What holds the subnets of all sites, those to come as well, in CIDR form; or a list of an IPv4 and an IPv6 one.
    All that pods send to it leaves through `migration0`: no other network of a cluster may lie in it."""
    mtu: Mtu | None = None
    """Bytes that pass between any two sites: what the routers' links carry. Where it is left out, what both sites'
    own `mtu` lets pass."""
    sites: dict[DnsLabel, Segment] = Field(min_length=1)
    """The sites by name, each with the keys of `segment`: `subnet`, `gateway`, `vlan`, `mtu`, `reserved`."""

    @cached_property
    def by_name(self) -> dict[str, SiteSegment]:
        """Each site as the segment of its stacks."""
        return {name: SiteSegment.of(name, site, self) for name, site in self.sites.items()}

    def rules(self) -> Iterator[Finding]:
        """What must hold between the supernet and the sites, and between the sites."""
        broken = tuple(self._families())
        yield from broken or (*self._each_family(), *self._inside(), *self._apart(), *self._mtus())

    def _families(self) -> Iterator[Finding]:
        """There is one route for each family, and so one supernet."""
        seen: dict[int, Network] = {}
        for index, supernet in enumerate(self.supernets):
            if supernet.version in seen:
                yield Finding(
                    f"supernet[{index}]",
                    str(supernet),
                    f"is IPv{supernet.version} like {seen[supernet.version]}; there is one supernet of each family",
                    "Keep one of them, wide enough for all sites",
                    code="supernet-families",
                )
            seen.setdefault(supernet.version, supernet)

    def _each_family(self) -> Iterator[Finding]:
        """Each site has a subnet and a gateway of every family: without them there is no route, and no migration."""
        for name, site in self.sites.items():
            subnets = {subnet.version: subnet for subnet in site.subnets}
            for supernet in self.supernets:
                family = supernet.version
                if family not in subnets:
                    yield Finding(
                        f"sites.{name}.subnet",
                        ", ".join(map(str, site.subnets)),
                        f"has no IPv{family} subnet, and supernet has {supernet}; other sites reach it by no"
                        f" IPv{family} address",
                        f"Add a subnet of {supernet}, or take it out of supernet",
                        code="site-families",
                    )
                elif site.gateway_of(subnets[family]) is None:
                    yield Finding(
                        f"sites.{name}.gateway",
                        None,
                        f"is required, of IPv{family}: it is the way to the other sites in {supernet}",
                        f"Write the router's address in {subnets[family]}",
                        code="site-gateway",
                    )

    def _inside(self) -> Iterator[Finding]:
        """A subnet outside of the supernet has no route from other sites: their answers leave by the pod network."""
        for name, site in self.sites.items():
            for key, subnet in zip(keys_of(f"sites.{name}.subnet", site.subnets), site.subnets, strict=True):
                if not any(_contains(supernet, subnet) for supernet in self.supernets):
                    yield Finding(
                        key,
                        str(subnet),
                        f"is not inside supernet {' or '.join(map(str, self.supernets))}, so that other sites have no"
                        " route to it",
                        "Choose a subnet of it, or widen supernet (that changes every attachment)",
                        code="site-outside",
                    )

    def _apart(self) -> Iterator[Finding]:
        """Of two sites with common addresses, each takes the other's for its own neighbours, and asks no router."""
        places = [
            (subnet, name, key)
            for name, site in self.sites.items()
            for key, subnet in zip(keys_of(f"sites.{name}.subnet", site.subnets), site.subnets, strict=True)
        ]
        # In order, a subnet overlaps one before it or none: of two CIDR blocks, one contains the other.
        around: tuple[Network, str] | None = None
        for subnet, name, key in sorted(places, key=_in_order):
            if around is not None and around[1] != name and _contains(around[0], subnet):
                yield Finding(
                    key,
                    str(subnet),
                    f"overlaps {around[0]} of site {around[1]}; each takes the other's addresses for near, and no"
                    " router is asked",
                    "Give each site a subnet of its own",
                    code="site-overlap",
                )
            if around is None or not _contains(around[0], subnet):
                around = (subnet, name)

    def _mtus(self) -> Iterator[Finding]:
        """What passes between sites passes within each."""
        for name, site in self.sites.items():
            if self.mtu and site.mtu and self.mtu > site.mtu:
                yield Finding(
                    f"sites.{name}.mtu",
                    site.mtu,
                    f"is below segment.mtu {self.mtu}, which is to pass between all sites",
                    f"Write at most {site.mtu} into segment.mtu, or leave it out",
                    code="site-mtu",
                )


class SiteSegment(Segment):
    """A site as the segment of its stacks: its own subnet, and what leads to the other sites. No user writes one."""

    site_name: str
    path_mtu: int | None
    """Bytes that pass to other sites, where the segment says so."""
    around: tuple[Subnet, ...]

    @classmethod
    def of(cls, name: str, site: Segment, routed: RoutedSegment) -> SiteSegment:
        """Make the segment of a site's stacks; everything in it was checked when it was read."""
        return cls.model_construct(
            **{field: getattr(site, field) for field in Segment.model_fields},
            site_name=name,
            path_mtu=routed.mtu,
            around=routed.supernets,
        )

    @property
    def site(self) -> str:
        """Its name."""
        return self.site_name

    @property
    def supernets(self) -> tuple[Network, ...]:
        """What holds the subnets of all sites, one of each family."""
        return self.around

    @property
    def routes(self) -> tuple[SiteRoute, ...]:
        """The route to the supernet of each family, through the site's gateway of that family."""
        by_family = {gateway.version: gateway for gateway in self.gateways}
        return tuple(SiteRoute(supernet, by_family[supernet.version]) for supernet in self.around)


def values_of(segment: Segment) -> dict[str, Any]:
    """Return a segment as the config values of a stack on it: `segment`, and `site` where there are sites."""
    fields = {*Segment.model_fields}
    own = segment.model_dump(include=fields, by_alias=True, exclude_none=True, exclude_defaults=True, mode="json")
    if not isinstance(segment, SiteSegment):
        return {"segment": own}
    between = {} if segment.path_mtu is None else {"mtu": segment.path_mtu}
    around = {"supernet": [str(each) for each in segment.supernets], "sites": {segment.site: own}}
    return {"segment": around | between, "site": segment.site}


def _contains(supernet: Network, subnet: Network) -> bool:
    return supernet.version == subnet.version and subnet.subnet_of(supernet)  # type: ignore[arg-type]


def _in_order(place: tuple[Network, str, str]) -> tuple[int, int, int]:
    subnet = place[0]
    return subnet.version, int(subnet.network_address), subnet.prefixlen
