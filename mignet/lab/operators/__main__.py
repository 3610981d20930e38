"""The lab's process of stand-ins: `python -m mignet.lab.operators DIRECTORY`."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from mignet.lab.operators.cluster_view import Pace
from mignet.lab.operators.supervisor import attend


async def _main(directory: Path) -> None:
    task = asyncio.create_task(attend(directory, pace=Pace()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


print("simulates the operators of the clusters in the lab: nothing here runs a virtual machine", flush=True)  # noqa: T201
asyncio.run(_main(Path(sys.argv[1])))
