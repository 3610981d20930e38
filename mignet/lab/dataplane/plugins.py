"""The CNI plugins that the data plane attaches pods with: cached, or built from `lab/tools/cni/go.mod`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.lab.servers import binaries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODULE = binaries.TOOLS / "cni"
SOURCE = "github.com/containernetworking/plugins/plugins"
PACKAGES = {
    "bridge": f"{SOURCE}/main/bridge",
    "macvlan": f"{SOURCE}/main/macvlan",
    "host-local": f"{SOURCE}/ipam/host-local",
    "static": f"{SOURCE}/ipam/static",
}


def find(progress: Callable[[str], None]) -> Path:
    """Return the folder with the plugins, after building them if it is not there, which takes seconds.

    Raises LabError.
    """
    return binaries.built("cni", MODULE, PACKAGES, progress)
