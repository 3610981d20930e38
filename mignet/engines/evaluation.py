"""Run the Pulumi program in process, without the Pulumi CLI and without a cluster, and keep what it declares."""

from __future__ import annotations

import asyncio
import json
import runpy
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime import mocks, resource, rpc
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import source_pb2
from pulumi.runtime.settings import get_root_resource

from config.finding import UserError
from config.types.json_text import whole_numbers
from mignet import program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mignet.kube.kinds import Object


class _Inline(ThreadPoolExecutor):
    """Does in place what Pulumi hands to threads: calls of an engine that is not there take no time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


_LOOP = asyncio.new_event_loop()
_LOOP.set_default_executor(_Inline())

# For an engine's events, each registration reads the whole stack of calls, source lines included: a fifth of the time
# of an evaluation. Nobody here asks for it.
setattr(resource, "_get_stack_trace", source_pb2.StackTrace)  # noqa: B010 (the type checker knows it as a function)


class ProgramError(UserError):
    """The program itself refuses to go on."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One object that the program declares. `patch` means: some fields of an object that is not ours."""

    manifest: Object
    patch: bool

    @property
    def force(self) -> bool:
        """Whether fields of other field managers are taken over."""
        return bool(self.manifest["metadata"].get("annotations", {}).get("pulumi.com/patchForce") == "true")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the program declares for one stack: the objects, dependencies first, and the outputs."""

    objects: tuple[Declared, ...]
    outputs: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-ready values, of which `kept` makes the same again."""
        objects = [{"manifest": each.manifest, "patch": each.patch} for each in self.objects]
        return {"objects": objects, "outputs": dict(self.outputs)}

    @classmethod
    def kept(cls, content: Mapping[str, Any]) -> Declaration:
        """Return what was declared once."""
        return cls(tuple(Declared(**each) for each in content["objects"]), content["outputs"])


class _Monitor(mocks.MockMonitor):
    """Pulumi's own test monitor, keeping what each registration asks for."""

    def __init__(self) -> None:
        super().__init__(_Echo())
        self.objects: dict[str, Declared] = {}
        self.dependencies: dict[str, list[str]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the name of the RPC)
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        kind = request.type.removeprefix("kubernetes:")
        if request.custom and kind != request.type:
            # The wire format knows floating-point numbers only.
            manifest = whole_numbers(rpc.deserialize_properties(request.object))
            self.objects[response.urn] = Declared(manifest, patch=kind.endswith("Patch"))
            self.dependencies[response.urn] = list(request.dependencies)
        return response

    def ordered(self) -> tuple[Declared, ...]:
        """Return the objects so that each stands behind those it depends on."""
        done: dict[str, Declared] = {}

        def visit(urn: str) -> None:
            if urn in self.objects and urn not in done:
                for dependency in self.dependencies[urn]:
                    visit(dependency)
                done[urn] = self.objects[urn]

        for urn in self.objects:
            visit(urn)
        return tuple(done.values())


class _Echo(mocks.Mocks):
    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        msg = f"the program calls {args.token}; the direct engine has no providers to answer that"
        raise pulumi.RunError(msg)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return args.name, args.inputs


def evaluate(path: Path, project: str, stack: str, values: Mapping[str, object]) -> Declaration:
    """Run a project's program for one stack with these config values, and return what it declares.

    Raises ProgramError when the program refuses.
    """
    # Pulumi's root resource lives as long as this process, on one event loop; asyncio.run leaves none behind.
    asyncio.set_event_loop(_LOOP)
    monitor = _Monitor()
    mocks.set_mocks(_Echo(), project=project, stack=stack, monitor=monitor, preview=False)
    set_all_config(
        {f"{project}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    )

    if not path.is_file():
        msg = f"{path} is not there: the folder of Pulumi.yaml holds the program, too; mignet new DIR writes one"
        raise ProgramError(msg)
    outputs: dict[str, Any] = {}
    root: Any = get_root_resource()
    root.outputs = {}

    program.look_beside(path.parent)

    @mocks.test  # type: ignore[untyped-decorator]
    def run() -> pulumi.Output[None]:
        runpy.run_path(str(path), run_name="__main__")
        return pulumi.Output.from_input(root.outputs).apply(outputs.update)

    try:
        with program.unguarded():
            run()
    except SystemExit as end:
        if end.code:
            message = f"the program ended itself with {end.code}"
            raise ProgramError(message) from end
    except pulumi.RunError as error:
        message = f"the program refuses: {error}"
        raise ProgramError(message) from error
    return Declaration(monitor.ordered(), outputs)
