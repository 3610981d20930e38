"""Pulumi's CLI and its Kubernetes provider: on PATH, cached, or built from `lab/tools/pulumi*`.

What is on PATH comes first. None of it is Pulumi's own release: for the lab and the tests, not for clusters of anybody.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from mignet.lab.folders import cache_folder
from mignet.lab.servers import binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mignet.lab.servers.binaries import Build

CLI_MODULE = binaries.TOOLS / "pulumi"
CLI = {"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"}
SDK = "github.com/pulumi/pulumi/sdk/v3"
EXECUTOR = "pulumi-language-python-exec"
SCRIPTS = {EXECUTOR: "python/cmd", "pulumi-resource-pulumi-python": "python/dist"}
"""What the SDK's module has for programs in Python: their executor, and the plugin of dynamic resources."""

PROVIDER_MODULE = binaries.TOOLS / "pulumi-kubernetes"
PROVIDER_SOURCE = "github.com/pulumi/pulumi-kubernetes/provider/v4"
PROVIDER = {"pulumi-resource-kubernetes": f"{PROVIDER_SOURCE}/cmd/pulumi-resource-kubernetes"}
PROVIDER_VERSION = "4.25.0"
"""The release that the pinned commit behaves as: commits have no version."""

YAML_MODULE = binaries.TOOLS / "pulumi-yaml"
YAML_HOST = {"pulumi-language-yaml": "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"}

HOST = "mignet.lab.pulumi_programs.language_host"


def path(progress: Callable[[str], None]) -> str:
    """Return a PATH on which Pulumi runs programs in Python and has its Kubernetes provider.

    What is missing is built, which takes minutes the first time; `progress` gets a line for each step. Raises LabError.
    """
    found = [os.environ.get("PATH", os.defpath)]
    if not shutil.which("pulumi"):
        cli = _cli(progress)
        found += [str(cli), str(_host(cli))]
    if not shutil.which(next(iter(PROVIDER))):
        found.append(str(_provider(progress)))
    return os.pathsep.join(found)


def yaml_host(progress: Callable[[str], None]) -> str:
    """Return a PATH on which Pulumi runs programs in YAML, too. Built as `path` builds the rest. Raises LabError."""
    found = path(progress)
    if shutil.which(next(iter(YAML_HOST))):
        return found
    return os.pathsep.join([found, str(binaries.built("pulumi-yaml", YAML_MODULE, YAML_HOST, progress))])


def _cli(progress: Callable[[str], None]) -> Path:
    version = re.findall(rf"{SDK} (v\S+)", (CLI_MODULE / "go.mod").read_text(encoding="utf-8"))[0]
    flags = [f"-X {SDK}/go/common/version.Version={version}"]
    return binaries.built("pulumi", CLI_MODULE, CLI, progress, flags=flags, prepare=_with_scripts)


def _with_scripts(build: Build, progress: Callable[[str], None]) -> Sequence[str]:
    source = build.source(SDK, progress)
    for name, folder in SCRIPTS.items():
        shutil.copyfile(source / folder / name, build.output / name)
        (build.output / name).chmod(0o755)
    return ()


def _host(cli: Path) -> Path:
    """Return a folder with the language host of this Python. It can't be beside the CLI, which all checkouts share."""
    command = f"{shlex.quote(sys.executable)} -I -m {HOST} {shlex.quote(str(cli / EXECUTOR))}"
    folder = cache_folder() / f"pulumi-python-{hashlib.sha256(command.encode()).hexdigest()[:12]}"
    script = folder / "pulumi-language-python"
    if not script.exists():
        folder.mkdir(exist_ok=True)
        new = folder / f".{os.getpid()}"
        new.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        new.chmod(0o755)
        new.replace(script)
    return folder


def _provider(progress: Callable[[str], None]) -> Path:
    flags = [f"-X {PROVIDER_SOURCE}/pkg/version.Version={PROVIDER_VERSION}"]
    return binaries.built("pulumi-kubernetes", PROVIDER_MODULE, PROVIDER, progress, flags=flags, prepare=_with_embedded)


def _with_embedded(build: Build, progress: Callable[[str], None]) -> Sequence[str]:
    """Build a copy of the module, with the two files that it embeds: its releases make them of two that it has."""
    source, copy = build.source(PROVIDER_SOURCE, progress), build.scratch / "source"
    for file in source.rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Without the modes: everything in Go's own folder is read-only.
            shutil.copyfile(file, target)
    folder = copy / "cmd" / "pulumi-resource-kubernetes"
    schema = json.loads((folder / "schema.json").read_bytes()) | {"version": PROVIDER_VERSION}
    (folder / "schema-embed.json").write_text(json.dumps(schema), encoding="utf-8")
    shutil.copyfile(folder / "terraform-mapping.json", folder / "terraform-mapping-embed.json")
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(build.module / name, build.scratch / name)
    modfile = build.scratch / "go.mod"
    with modfile.open("a", encoding="utf-8") as stream:
        stream.write(f'\nreplace {PROVIDER_SOURCE} => "{copy}"\n')
    return [f"-modfile={modfile}"]
