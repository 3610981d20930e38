"""A language host for Pulumi programs in Python, for the lab and the tests alone; users have Pulumi's own.

Pulumi's own host comes with its installer and is in no registry, while the rest of Pulumi is built from Go modules.
This one answers what the SDK's `LanguageServer` answers, and runs a program as Pulumi's own does: by the SDK's
executor, in a process of its own, with the Python of the project's virtual environment; plugins in Python, too. It
installs nothing, and does not say which plugins a program requires (docs/adr/0013).

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
from queue import SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002, N802
        """Install nothing, and say so: what a plugin needs is where its Python is."""
        told = f"{request.info.program_directory}: nothing is installed, it runs with what its Python has\n"
        yield language_pb2.InstallDependenciesResponse(stderr=told.encode())

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Run a plugin that is written in Python, components or a policy pack, until the engine has no use for it."""
        try:
            python = interpreter(request.info)
        except FileNotFoundError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        folder = request.info.program_directory
        command = [python, "-u", *plugin_arguments(request.kind, folder, request.args)]
        given = dict(each.split("=", 1) for each in request.env)
        process = subprocess.Popen(
            command,
            cwd=request.pwd,
            env=_of_interpreter(os.environ | given, python),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._running.append(process)
        # The engine ends a plugin by giving up this call.
        if not context.add_callback(process.terminate):
            process.terminate()
        yield from _streamed(process)
        yield language_pb2.RunPluginResponse(exitcode=process.wait())

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


def plugin_arguments(kind: str, folder: str, given: Sequence[str]) -> list[str]:
    """Return what Python is given for a plugin: policies are run by the SDK's own module, components as a program.

    `given` begins with the engine's address.
    """
    return ["-m", "pulumi.policy", *given, folder] if kind == "analyzer" else [folder, *given]


def _streamed(process: subprocess.Popen[bytes]) -> Iterator[Any]:
    """Yield what a plugin writes, as it is written, until it has closed both of its outputs."""
    written: SimpleQueue[Any] = SimpleQueue()

    def read(stream: IO[bytes] | None, name: str) -> None:
        while stream is not None and (part := os.read(stream.fileno(), 1 << 16)):
            response = language_pb2.RunPluginResponse()
            setattr(response, name, part)
            written.put(response)
        written.put(None)

    readers = [Thread(target=read, args=each) for each in ((process.stdout, "stdout"), (process.stderr, "stderr"))]
    for reader in readers:
        reader.start()
    for _ in readers:
        while (part := written.get()) is not None:
            yield part


def _environment(request: Any, python: str) -> dict[str, str]:
    config = {
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
    }
    return _of_interpreter(os.environ | config, python)


def _of_interpreter(environment: Mapping[str, str], python: str) -> dict[str, str]:
    """Return the environment as it is in the virtual environment of that Python."""
    folder = Path(python).parent
    found = dict(environment) | {
        "PATH": f"{folder}{os.pathsep}{environment.get('PATH', '')}",
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
