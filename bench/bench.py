"""Measure the main job as whole processes, side by side in one run, and write docs/benchmarks.md: `make bench`.

Peers: kubectl (`diff` and `apply`, server-side, same manifests), and Pulumi; from PATH or built; and Ansible.
Memory is the largest single process that a command ran.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))

import yaml
from measuring import MACHINE, measure
from support import BIN, REAL_CRDS, Kube, Site, Workspace

from mignet.lab.lab import Lab
from mignet.lab.pulumi_programs import programs

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = int(os.environ.get("BENCH_RUNS", "9"))


@dataclass(frozen=True, slots=True)
class Figure:
    """What a command took: seconds of wall clock (median, least, most), of the processor, MB of its largest process."""

    median: float
    least: float
    most: float
    processor: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to do the job: a command for each operation. `codes` are the exit codes that are no failure."""

    name: str
    preview: list[str]
    up: list[str]
    drift: list[str]
    destroy: list[str]
    codes: tuple[int, ...] = (0,)


def figure(command: list[str], workspace: Workspace, *, codes: tuple[int, ...], before: Callable[[], None]) -> Figure:
    """Run a command RUNS times, after one run that does not count; `before` puts the cluster in order each time."""
    environment = workspace.environment | {"KUBECONFIG": str(workspace.site.kubeconfig)}
    taken = []
    for _ in range(RUNS + 1):
        before()
        taken.append(measure(command, workspace.folder, environment=environment, codes=codes))
    seconds = [each.seconds for each in taken[1:]]
    memory = statistics.median(each.megabytes for each in taken[1:])
    processor = statistics.median(each.processor for each in taken[1:])
    return Figure(statistics.median(seconds), min(seconds), max(seconds), processor, memory)


def kubectl(cache: Path) -> str | None:
    """Return a kubectl: the one on PATH, else one built from mignet/lab/tools/go.mod, else None."""
    found = shutil.which("kubectl")
    if found or not shutil.which("go"):
        return found
    target = cache / "kubectl"
    if not target.exists():
        print("building kubectl ...", file=sys.stderr)
        command = ["go", "build", "-trimpath", f"-o={target}", "k8s.io/kubernetes/cmd/kubectl"]
        subprocess.run(command, cwd=ROOT / "mignet/lab/tools", env=os.environ | {"CGO_ENABLED": "0"}, check=True)
    return str(target)


def ansible(cache: Path) -> str:
    """Return an ansible-playbook with kubernetes.core, installed once."""
    folder = cache / "ansible"
    if not (folder / "complete").exists():
        print("installing Ansible ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", "ansible", "kubernetes"], check=True)
        (folder / "complete").touch()
    return str(folder / "bin" / "ansible-playbook")


def playbook(program: str, manifest: Path, destroy: list[str]) -> Tool:
    """Apply the same manifests by kubernetes.core.k8s, server-side; its preview is check mode with differences."""
    task = {
        "src": str(manifest),
        "apply": True,
        "server_side_apply": {"field_manager": "migration-network", "force_conflicts": True},
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": str(Path(program).with_name("python"))},
        "tasks": [{"kubernetes.core.k8s": task}],
    }
    file = manifest.with_name("playbook.yaml")
    file.write_text(yaml.safe_dump([play]))
    up = [program, "-i", "localhost,", "-c", "local", str(file)]
    look = [*up, "--check", "--diff"]
    return Tool("Ansible, kubernetes.core", look, up, look, destroy)


def tools(workspace: Workspace, cache: Path) -> list[Tool]:
    """Return the ways to do the job that are here, the one that ratios refer to first."""
    mignet, stack = str(BIN / "mignet"), workspace.stack
    rendered = workspace.run("mignet", "render", stack)
    manifest = workspace.folder / "manifest.yaml"
    manifest.write_text(rendered.out)
    found: list[Tool] = []
    direct = ["--engine", "direct"]
    destroy = [mignet, "destroy", stack, "--yes", *direct]
    client = kubectl(cache)
    if client:
        on_it = ["-f", str(manifest), "--server-side", "--force-conflicts", "--field-manager=migration-network"]
        diff = [client, "diff", *on_it]
        found.append(Tool("kubectl", diff, [client, "apply", *on_it], diff, destroy, codes=(0, 1)))
    found.append(
        Tool(
            "mignet, direct engine",
            [mignet, "preview", stack, *direct],
            [mignet, "up", stack, "--yes", "--skip-preflight", *direct],
            [mignet, "drift", stack, *direct],
            destroy,
            codes=(0, 7),
        )
    )
    found.append(playbook(ansible(cache), manifest, destroy))
    through = ["--engine", "pulumi"]
    workspace.run("pulumi", "stack", "init", stack)
    found.append(
        Tool(
            "mignet, Pulumi engine",
            [mignet, "preview", stack, *through],
            [mignet, "up", stack, "--yes", "--skip-preflight", *through],
            [mignet, "drift", stack, *through],
            [mignet, "destroy", stack, "--yes", *through],
            codes=(0, 7),
        )
    )
    found.append(_pulumi("pulumi", workspace.folder, stack))
    plain = plain_program(workspace, rendered.out)
    workspace.run("pulumi", "-C", str(plain), "stack", "init", stack)
    # Pulumi waits for minutes to destroy it: its up is not measured, which would need that each time.
    found.append(replace(_pulumi("pulumi, a plain program of the same two objects", plain, stack), destroy=[]))
    return found


def _pulumi(name: str, folder: Path, stack: str) -> Tool:
    program, at = ["pulumi", "-C", str(folder)], ["--stack", stack, "--non-interactive"]
    return Tool(
        name,
        [*program, "preview", *at],
        [*program, "up", "--yes", "--skip-preview", *at],
        [*program, "preview", "--expect-no-changes", *at],
        [*program, "destroy", "--yes", "--skip-preview", *at],
        codes=(0, 7, 255),
    )


PLAIN = """import json
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes

cluster = kubernetes.Provider("cluster", kubeconfig={kubeconfig!r}, context={context!r}, enable_server_side_apply=True)
for each in json.loads(Path("objects.json").read_text()):
    make = kubernetes.apiextensions.CustomResource
    if each["kind"] == "HyperConverged":
        make = kubernetes.apiextensions.CustomResourcePatch
    make(
        each["kind"].lower(),
        api_version=each["apiVersion"],
        kind=each["kind"],
        metadata=each["metadata"],
        spec=each["spec"],
        opts=pulumi.ResourceOptions(provider=cluster),
    )
"""


def plain_program(workspace: Workspace, manifests: str) -> Path:
    """Write a project that declares the same objects, without a rule or a guard; return its folder."""
    folder = workspace.folder / "plain"
    folder.mkdir()
    (folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    runtime = "{name: python, options: {toolchain: pip, virtualenv: .venv}}"
    project = f"name: plain\nruntime: {runtime}\noptions: {{refresh: always}}\n"
    (folder / "Pulumi.yaml").write_text(project)
    objects = list(yaml.safe_load_all(manifests))
    for each in objects:
        each["metadata"].setdefault("annotations", {}).update(
            {"pulumi.com/patchForce": "true", "pulumi.com/skipAwait": "true"}
        )
    (folder / "objects.json").write_text(json.dumps(objects))
    (folder / "__main__.py").write_text(
        PLAIN.format(kubeconfig=str(workspace.site.kubeconfig), context=workspace.site.context)
    )
    return folder


def run(workspace: Workspace, found: list[Tool]) -> dict[str, dict[str, Figure]]:
    """Measure each operation with each tool."""
    site = workspace.site

    def clean() -> None:
        if current.destroy:
            workspace.run(*current.destroy)

    def nothing() -> None:
        pass

    def by_hand() -> None:
        site.kube.merge(
            site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}, "kubectl-edit"
        )

    figures: dict[str, dict[str, Figure]] = {}
    for current in found:
        clean()
        print(f"measuring {current.name} ...", file=sys.stderr)
        row: dict[str, Figure] = {}
        row["first preview"] = figure(current.preview, workspace, codes=current.codes, before=nothing)
        if current.destroy:
            row["up"] = figure(current.up, workspace, codes=(0,), before=clean)
        else:
            workspace.run(*current.up)
        row["preview, nothing changed"] = figure(current.preview, workspace, codes=current.codes, before=nothing)
        row["drift seen"] = figure(current.drift, workspace, codes=current.codes, before=by_hand)
        figures[current.name] = row
        clean()
    return figures


def table(figures: dict[str, dict[str, Figure]]) -> str:
    """Write the document."""
    names = list(figures)
    lines = [
        "# Benchmarks\n",
        "One stack (two objects) against an API server on the same machine; whole processes, start to exit; median of",
        f"{RUNS} runs after one that does not count (least to most in brackets), all in one run of `make bench` on",
        f"{MACHINE}. The ratio is to {names[0]}. Memory is the largest single process that the command ran.",
        "`mignet up` is that with --skip-preflight: the others look at nothing first.\n",
    ]
    for operation in next(iter(figures.values())):
        lines += [f"## {operation}\n", "| | seconds | ratio | processor seconds | MB |", "|---|---|---|---|---|"]
        base = figures[names[0]][operation].median
        for name in names:
            if operation not in figures[name]:
                continue
            each = figures[name][operation]
            spread = f"{each.median:.2f} ({each.least:.2f} to {each.most:.2f})"
            ratio = f"{each.median / base:.1f} | {each.processor:.2f}"
            lines.append(f"| {name} | {spread} | {ratio} | {each.megabytes:.0f} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Bring a lab up, measure, write docs/benchmarks.md."""
    from mignet.lab.folders import cache_folder

    with tempfile.TemporaryDirectory(prefix="mignet-bench-") as scratch:
        lab = Lab(
            Path(scratch) / "lab", clusters=("dev",), crds=REAL_CRDS if REAL_CRDS.is_dir() else None, operators=False
        )
        lab.up(lambda line: print(line, file=sys.stderr))
        os.environ["PATH"] = programs.path(lambda line: print(line, file=sys.stderr))
        try:
            site = Site(Kube(lab.kubeconfig, "dev"), lab.kubeconfig, "dev", "bench")
            site.create()
            workspace = Workspace(Path(scratch) / "project", site)
            workspace.create()
            figures = run(workspace, tools(workspace, cache_folder()))
        finally:
            lab.down()
    (ROOT / "docs" / "benchmarks.md").write_text(table(figures), encoding="utf-8")
    print(table(figures))


if __name__ == "__main__":
    main()
