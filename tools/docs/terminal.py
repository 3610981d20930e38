"""Take pictures of a terminal for docs/img, from commands that really run on a lab: `python tools/docs/terminal.py`."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))

from support import Kube

COLUMNS = 104
HYPERCONVERGED = "/apis/hco.kubevirt.io/v1beta1/namespaces/openshift-cnv/hyperconvergeds/kubevirt-hyperconverged"
OTHER = {"spec": {"liveMigrationConfig": {"network": "other"}}}
# Nothing is loaded from elsewhere: a reader's own fixed-width font will do.
_PLAIN = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
)


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a command on a terminal of its own; return it, and what it wrote there. Live lines are left out."""
    ours, theirs = pty.openpty()
    settings = {"cwd": folder, "env": environment | {"COLUMNS": str(COLUMNS), "LINES": "60", "TERM": "xterm-256color"}}
    quiet = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command.split(), **quiet, **settings)  # noqa: S603
    os.close(theirs)
    written = b""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                written += os.read(ours, 65536)
            except OSError:
                break
    os.close(ours)
    process.wait(timeout=60)
    return f"$ {command}\n{written.decode()}".replace("\r\n", "\n")


def picture(name: str, shown: str) -> None:
    """Write text with its colours as a picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown), soft_wrap=True)
    svg = console.export_svg(title=f"mignet {name}", code_format=_PLAIN, unique_id=name)
    (ROOT / "docs" / "img" / f"terminal-{name}.svg").write_text(svg)


def main() -> None:
    """Bring a lab up, do the job there, and take each picture."""
    with tempfile.TemporaryDirectory(prefix="mignet-pictures-") as scratch:
        state, folder = Path(scratch, "state"), Path(scratch, "project")
        program = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"XDG_STATE_HOME": str(state), "PATH": program}
        environment["KUBECONFIG"] = str(state / "migration-network" / "lab" / "kubeconfig")

        def quietly(command: str) -> None:
            where = folder if folder.exists() else scratch
            subprocess.run(command.split(), cwd=where, env=environment, capture_output=True, check=True)  # noqa: S603

        quietly("mignet lab up")
        try:
            quietly(f"mignet new {folder} --from-cluster dev")
            quietly("mignet preview dev")
            picture("preview", run("mignet preview dev", folder, environment))
            quietly("mignet up dev --yes")
            quietly("mignet verify dev")
            Kube(Path(environment["KUBECONFIG"]), "dev").merge(HYPERCONVERGED, OTHER, "kubectl-edit")
            picture("drift", run("mignet drift dev", folder, environment))
        finally:
            quietly("mignet lab down")


if __name__ == "__main__":
    main()
