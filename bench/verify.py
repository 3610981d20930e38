"""Measure how long `mignet verify` takes after the last pod has turned ready: python bench/verify.py.

Prints the seconds from the moment at which the last virt-handler was seen ready on the network, to the end of a
`mignet verify` that was started right behind `mignet up`; and those of one on a cluster that is done.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fixtures")]

from operated import Operated, interface, ready

from mignet.lab.lab import Lab

COMMAND = ["--engine", "direct", "--yes"]


def done(operated: Operated) -> bool:
    """Whether every pod is ready and on the network."""
    pods = [*operated.dev.pods(), *operated.dev.pods("virt-synchronization-controller")]
    return len(pods) == 5 and all(ready(pod) and interface(pod) for pod in pods)


with tempfile.TemporaryDirectory() as folder:
    lab = Lab(Path(folder) / "lab", crds=None)
    try:
        lab.up(lambda _: None)
        operated = Operated(lab, Path(folder) / "project")
        operated.create()
        outcome = operated.run("up", "dev", *COMMAND)
        assert outcome.code == 0, outcome.out + outcome.err
        environment = os.environ | lab.pulumi_environment()
        program = [str(Path(sys.executable).parent / "mignet"), "verify", "dev", "--no-peers"]
        verify = subprocess.Popen(program, cwd=operated.folder, env=environment, stdout=subprocess.PIPE, text=True)
        while not done(operated):
            time.sleep(0.01)
        there = time.monotonic()
        print(verify.communicate()[0], end="")
        print(f"after the last pod: {time.monotonic() - there:.2f} s")
        begun = time.monotonic()
        operated.run("verify", "dev", "--no-peers")
        print(f"on a cluster that is done: {time.monotonic() - begun:.2f} s")
    finally:
        lab.down()
