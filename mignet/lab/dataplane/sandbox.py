"""One pod at work: its namespace, what attaches it, and its process, which has no privilege that a node would give."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

from mignet.lab.dataplane.cni import PluginError
from mignet.lab.dataplane.namespaces import Namespace
from mignet.lab.folders import private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mignet.kube.kinds import Object
    from mignet.lab.dataplane.cni import Config, Runtime

MOST_BYTES = 4096
"""The longest termination message that a kubelet takes."""

NO_PRIVILEGE = ["setpriv", "--pdeathsig=KILL", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"]
"""Without capabilities, and gone with the process that started it."""


class Sandbox:
    """A pod's namespace with what is attached to it, and a folder for the files that it shows to the container."""

    def __init__(self, pod: Object, folder: Path) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self.space = Namespace()
        self.folder = private_folder(private_folder(folder) / self.uid)
        self.process: asyncio.subprocess.Process | None = None
        self.statuses: list[Object] = []
        """What multus reports of its interfaces."""
        self._attached: list[tuple[Runtime, Config, str]] = []
        self._shown: str | None = None
        self._watch: asyncio.Task[None] | None = None

    def attach(self, runtime: Runtime, config: Config, interface: str) -> Object:
        """Attach it, and return what multus would report of the interface: ips, mac and mtu. Raises PluginError."""
        result = runtime.add(config, container=self.uid, pod=self.space, interface=interface)
        self._attached.append((runtime, config, interface))
        (link,) = json.loads(self.space.run("ip", "-json", "link", "show", interface))
        addresses = [str(each["address"]).partition("/")[0] for each in result.get("ips", ())]
        return {**({"ips": addresses} if addresses else {}), "mac": link["address"], "mtu": link["mtu"]}

    def show(self, pod: Object) -> None:
        """Write what the downward API volume shows, if it is another than before."""
        shown = _downward(pod)
        if shown != self._shown:
            write_private(self.folder / "targets", shown.encode())
            self._shown = shown

    async def start(self, pod: Object, ended: Callable[[], None]) -> None:
        """Run the container's command in it, and call `ended` when that is over."""
        container = pod["spec"]["containers"][0]
        command = [*container["command"], *container.get("args", ())]
        if command[0] in {"python", "python3"}:
            command[0] = sys.executable
        # The lab ignores the image, so two files that a container finds at fixed places are named here.
        environment = {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
        environment |= {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        environment |= {"MIGNET_TARGETS": str(self.folder / "targets"), "MIGNET_RESULT": str(self.folder / "result")}
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.space.enter(*NO_PRIVILEGE, *command),
                env=environment,
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        process = self.process

        async def wait() -> None:
            await process.wait()
            ended()

        self._watch = asyncio.create_task(wait())

    @property
    def exit_code(self) -> int | None:
        """What the process ended with, 128 and more after a signal; None while it runs."""
        code = self.process.returncode if self.process else None
        return code if code is None or code >= 0 else 128 - code

    @property
    def message(self) -> str:
        """What the process left as its termination message; the end of what it printed when it left none and failed."""
        for name in ("result", "log") if self.exit_code else ("result",):
            with contextlib.suppress(FileNotFoundError):
                if content := (self.folder / name).read_bytes():
                    return content[-MOST_BYTES:].decode(errors="replace")
        return ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def close(self) -> None:
        """End what runs in it, detach it, and remove it."""
        self.signal(signal.SIGKILL)
        for runtime, config, interface in reversed(self._attached):
            # The namespace goes, and all in it with it: whatever the plugin says.
            with contextlib.suppress(PluginError):
                runtime.delete(config, container=self.uid, pod=self.space, interface=interface)
        self.space.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _downward(pod: Object) -> str:
    """Return the one annotation that the pod's downward API volume shows, empty when it is not set."""
    fields: list[dict[str, Any]] = [
        item["fieldRef"]
        for volume in pod["spec"].get("volumes", ())
        for item in volume.get("downwardAPI", {}).get("items", ())
    ]
    if not fields:
        return ""
    key = str(fields[0]["fieldPath"]).partition("'")[2].rpartition("'")[0]
    return str(pod["metadata"].get("annotations", {}).get(key, ""))
