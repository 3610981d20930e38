"""What the lab remembers between two runs of the tool: `lab.json`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from mignet.lab.errors import LabError
from mignet.lab.folders import write_private
from mignet.lab.servers.processes import Process

if TYPE_CHECKING:
    from pathlib import Path


@dataclasses.dataclass
class Record:
    """How this lab was made, the last process under each name, running or not, and which clusters are seeded.

    `operators`: with stand-ins for the operators; `dataplane`: with a data plane; `gates`: of a HyperConverged that is
    converted between two API versions, and their defaults; `checkout`: the folder whose stacks are on it, or "".
    """

    clusters: list[str]
    crds: str
    hco_release: str
    operators: bool = True
    dataplane: bool = False
    processes: dict[str, Process] = dataclasses.field(default_factory=dict)
    seeded: list[str] = dataclasses.field(default_factory=list)
    gates: dict[str, bool] = dataclasses.field(default_factory=dict)
    checkout: str = ""

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Return what `path` holds, None when there is no such file. Raises LabError when it cannot be understood."""
        try:
            fields = json.loads(path.read_bytes())
            processes = {name: Process(**process) for name, process in fields.pop("processes").items()}
            return cls(**fields, processes=processes)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{path} is damaged ({error}): end the lab's processes by hand, then remove {path.parent}"
            raise LabError(msg) from error

    def write(self, path: Path) -> None:
        """Write it to `path`, readable by its owner only."""
        write_private(path, json.dumps(dataclasses.asdict(self), indent=2).encode())
