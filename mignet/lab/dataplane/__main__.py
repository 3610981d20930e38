"""The lab's process of the data plane: `python -m mignet.lab.dataplane DIRECTORY PLUGINS`."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from mignet.lab.dataplane.kubelet import Kubelet
from mignet.lab.dataplane.plane import Plane
from mignet.lab.operators.cluster_view import Pace
from mignet.lab.operators.supervisor import attend


async def _main(directory: Path, plugins: Path) -> None:
    # Of pods whose processes went with the one before this.
    shutil.rmtree(directory / "dataplane", ignore_errors=True)
    plane = Plane(plugins)
    kubelets: dict[str, Kubelet] = {}

    def steps(cluster: str) -> tuple:  # type: ignore[type-arg]
        kubelets[cluster] = Kubelet(plane, cluster, directory / "dataplane")
        return (kubelets[cluster].step,)

    task = asyncio.create_task(attend(directory, pace=Pace(), steps=steps))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for kubelet in kubelets.values():
        kubelet.close()
    plane.close()


print("simulates the kubelet and multus: the pods of a checkup, and nothing else, run here", flush=True)  # noqa: T201
# The lab starts its processes without an environment.
os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2])))
