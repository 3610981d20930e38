"""A language host for Pulumi programs in Python, for the lab and the tests alone; users have Pulumi's own.

Pulumi's own host comes with its installer and is in no registry, while the rest of Pulumi is built from Go modules.
This one answers what the SDK's `LanguageServer` answers, and runs a program as Pulumi's own does: by the SDK's
executor, in a process of its own, with the Python of the project's virtual environment. It installs nothing, and does
not say which plugins a program requires (docs/adr/0013).

Source: pulumi/pulumi, sdk/python/cmd/pulumi-language-python/main.go.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

SHOWN = 32
"""The executor's exit status when it has told the user what is wrong."""


class LanguageHost(LanguageServer):
    """What the engine asks about a program, and how it runs one."""

    def __init__(self, executor: str, engine: str) -> None:
        super().__init__(lambda: None)
        self._executor = executor
        self._engine = engine
        self._running: list[subprocess.Popen[bytes]] = []

    def Run(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Run the program to its end."""
        try:
            python = interpreter(request.info)
        except FileNotFoundError as error:
            return language_pb2.RunResponse(error=str(error))
        command = [python, "-u", self._executor, *self._arguments(request)]
        process = subprocess.Popen(command, env=_environment(request, python), stdin=subprocess.DEVNULL)
        self._running.append(process)
        status = process.wait()
        if status == SHOWN:
            return language_pb2.RunResponse(bail=True)
        failed = f"Program exited with non-zero exit code: {status}" if status else ""
        return language_pb2.RunResponse(error=failed)

    def end(self) -> None:
        """End the programs that run."""
        for process in self._running:
            process.terminate()

    def _arguments(self, request: Any) -> list[str]:
        options = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "dry_run": "true" if request.dryRun else "false",
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        program = Path(request.info.program_directory, request.info.entry_point)
        given = (part for name, value in options.items() if value for part in (f"--{name}", value))
        return [*given, str(program), *request.args]


def interpreter(info: Any) -> str:
    """Return the Python of the virtual environment that the project names, else the one of this process.

    Raises FileNotFoundError.
    """
    named = dict(info.options).get("virtualenv")
    if not named:
        return sys.executable
    python = Path(info.root_directory, str(named), "bin", "python")
    if not python.exists():
        remedy = "make it, and install requirements.txt there"
        msg = f"Pulumi.yaml names the virtual environment {named}, but there is no {python}: {remedy}"
        raise FileNotFoundError(msg)
    return str(python)


def _environment(request: Any, python: str) -> dict[str, str]:
    folder = Path(python).parent
    found = os.environ | {
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "VIRTUAL_ENV": str(folder.parent),
    }
    found.pop("PYTHONHOME", None)
    return found


def serve(executor: str, engine: str) -> None:
    """Serve the engine at that address until it interrupts this process, or is gone. The first line is the port."""
    host = LanguageHost(executor, engine)
    server = grpc.server(ThreadPoolExecutor())
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with contextlib.suppress(KeyboardInterrupt):
        print(port, flush=True)  # noqa: T201
        # The engine holds the other end: it closes when the engine ends, however it does.
        sys.stdin.buffer.read()
    host.end()
    server.stop(None)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[-1])
