"""The VLAN tags that an attachment puts on frames itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment import AnyAttachment, Bridge
from config.attachment.localnet import OvnLocalnet

if TYPE_CHECKING:
    from config.segment import Segment


def attachment_tags(attachment: AnyAttachment, segment: Segment) -> tuple[int, ...]:
    """Return the VLAN tags that an attachment puts on the frames itself."""
    match attachment:
        case Bridge():
            trunk = (tag for item in attachment.vlan_trunk or () for tag in item.vlans)
            return tuple(dict.fromkeys([tag for tag in (attachment.vlan, *trunk) if tag]))
        case OvnLocalnet():
            return (tag,) if (tag := attachment.tag(segment)) else ()
        case _:
            return ()
