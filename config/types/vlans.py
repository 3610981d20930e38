"""The VLANs that a port lets through, as stack files list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from config.finding import Finding
from config.types.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator


class VlanTrunkItem(Model):
    """One VLAN (`id`), or an inclusive range of them (`minID` to `maxID`)."""

    id: int | None = Field(default=None, ge=1, le=4094)
    """One VLAN."""
    min_id: int | None = Field(default=None, ge=1, le=4094, alias="minID")
    """The first VLAN of a range."""
    max_id: int | None = Field(default=None, ge=1, le=4094, alias="maxID")
    """The last VLAN of a range, inclusive."""

    @property
    def vlans(self) -> range:
        """The VLANs that it stands for."""
        if self.id is not None:
            return range(self.id, self.id + 1)
        return range(self.min_id or 0, (self.max_id or 0) + 1)

    def rules(self) -> Iterator[Finding]:
        """Either an id, or both ends of a range in order (bridge plugin, collectVlanTrunk)."""
        given = (self.id is not None, self.min_id is not None, self.max_id is not None)
        if given not in {(True, False, False), (False, True, True)}:
            yield Finding(
                "id",
                self.id,
                "is neither a single VLAN nor a range",
                "Write {id: 100}, or {minID: 100, maxID: 110}",
                code="vlan-trunk-item",
            )
        elif self.min_id is not None and self.max_id is not None and self.max_id < self.min_id:
            yield Finding("maxID", self.max_id, f"is below minID {self.min_id}", "Swap them", code="vlan-trunk-order")
