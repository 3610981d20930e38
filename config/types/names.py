"""Names and numbers of the field as types: DNS labels, interface names, VLAN IDs, MTUs."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from config.types.model import refuse

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PREFIX = r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"


def _dns_label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        refuse(
            "name-dns-label",
            "is not a DNS-1123 label (at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit)",
            "Rename it, such as my-secondary-network",
        )
    return value


def _interface_name(value: str) -> str:
    # Rules of the kernel (dev_valid_name): at most 15 bytes, no slash, colon or white space, not "." or ".."; a NUL
    # ends a name, and %d stands for a number (__dev_alloc_name). Control characters, which it takes, nobody has meant.
    unfit = value in {".", ".."} or re.search(r"[/:%\s]", value) or not value.isprintable()
    if unfit or not 1 <= len(value.encode()) <= 15:
        refuse(
            "name-interface",
            "is not an interface name (1 to 15 characters, no slash, colon, percent sign, blank or control character)",
            "Write the NIC's name as `ip link` shows it, such as eth1 or ens1f0.100",
        )
    return value


def is_label(key: str, value: str) -> bool:
    """Tell whether Kubernetes takes a label of this key and value.

    Source: Kubernetes, apimachinery, pkg/util/validation (IsQualifiedName, IsValidLabelValue).

    >>> is_label("app.kubernetes.io/name", "web"), is_label("gpu", ""), is_label("a/b/c", ""), is_label("a", "b c")
    (True, True, False, False)
    """
    return bool(re.fullmatch(_PREFIX + _WORD, key) and re.fullmatch(f"({_WORD})?", value))


def _cni_name(value: str) -> str:
    # The pattern of libcni (pkg/utils ValidateNetworkName).
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*", value):
        refuse("name-cni", "is not a CNI network name", "Use letters, digits, _ . - and begin with a letter or digit")
    return value


# What an editor knows of them; the functions above say it in words.
_LABEL_SCHEMA = {"type": "string", "pattern": f"^{_LABEL.pattern}$"}
_INTERFACE_SCHEMA = {
    "type": "string",
    "pattern": r"^[^/:%\s\u0000-\u001f\u007f-\u009f]{1,15}$",
    "not": {"enum": [".", ".."]},
}
_CNI_SCHEMA = {"type": "string", "pattern": r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$"}

DnsLabel = Annotated[str, AfterValidator(_dns_label), WithJsonSchema(_LABEL_SCHEMA)]
InterfaceName = Annotated[str, AfterValidator(_interface_name), WithJsonSchema(_INTERFACE_SCHEMA)]
CniName = Annotated[str, AfterValidator(_cni_name), WithJsonSchema(_CNI_SCHEMA)]
VlanId = Annotated[int, Field(ge=1, le=4094)]
"""IEEE 802.1Q VLAN ID; 0 and 4095 are reserved."""
Mtu = Annotated[int, Field(ge=1280, le=65520)]
"""Bytes. 1280 is the least that IPv6 works with; 65520 the most that a Linux Ethernet-like NIC takes (IPoIB)."""
