"""Kill runs, and the API servers under them, and count what did not come right: `python bench/faults.py`.

Each try begins a verb on a lab of its own, and at a moment that is drawn at random kills the whole run with -9, or the
API server. Then the same verb is run again, once: it must end well and leave nothing to do, and nothing foreign may
have changed. The engine `plain` is Pulumi with nothing of ours in between: its user runs `pulumi cancel` first. With a
seed, the moments are the same parts of the verb's usual time. Prints counts; exits 1 when one is not 0.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))

import psutil
from support import Kube, Outcome, Site, Workspace, kill

from mignet.lab.lab import Lab
from mignet.lab.pulumi_programs import programs

AWAY = 40.0
"""Seconds after which an API server is back, at the latest."""
BOUND = 120.0
"""Seconds that a run may take from then on."""
LIMIT = "completionTimeoutPerGiB"
VERBS = ("up", "destroy", "rename", "drift --fix", "waves")
PLAIN = ("up", "destroy", "rename")
"""The verbs that plain Pulumi has, too."""


@dataclass
class Try:
    """One stack on one cluster, in a namespace of its own."""

    lab: Lab
    folder: Path
    engine: str
    number: int
    spent: dict[tuple[str, str], float] = field(default_factory=dict)

    def prepare(self, verb: str) -> tuple[Workspace, list[str]]:
        """Make what the verb begins with, and return its command."""
        kube = Kube(self.lab.kubeconfig, "dev")
        site = Site(kube, self.lab.kubeconfig, "dev", f"t-{self.number}")
        site.create()
        site.foreign()
        work = Workspace(self.folder / f"project-{self.number}", site)
        work.create()
        engine = ["--engine", self.engine]
        command = ["mignet", "up", work.stack, *engine, "--yes", "--skip-preflight"]
        if self.engine == "plain":
            assert work.run("pulumi", "stack", "init", work.stack).code == 0
            command = plain(work, "up")
        if verb == "waves":
            # There are no virt-handlers here, so that a wave is not verified, and nothing is to be waited for.
            return work, [*command, "--canary", work.stack, "--allow-not-judged", "--timeout", "3"]
        if verb == "up":
            return work, command
        if verb == "rename":
            work.config["attachment"]["rollout"] = "rename"
            work.write()
        assert (work.run(*command) if self.engine == "plain" else work.mignet("up", self.engine)).code == 0
        match verb:
            case "destroy":
                command = ["mignet", "destroy", work.stack, *engine, "--yes"]
                command = plain(work, "destroy") if self.engine == "plain" else command
            case "rename":
                work.config["attachment"]["mtu"] = 1400
                work.write()
            case "drift --fix":
                kube.merge(site.hyperconverged, {"spec": {"liveMigrationConfig": {LIMIT: 77}}}, "kubectl-edit")
                command = ["mignet", "drift", work.stack, *engine, "--fix", "--yes", "--wait", "0"]
        return work, command


def plain(work: Workspace, verb: str) -> list[str]:
    """Return the command of plain Pulumi."""
    return ["pulumi", verb, "--stack", work.stack, "--yes", "--skip-preview", "--non-interactive"]


def converged(work: Workspace, verb: str, engine: str, command: list[str]) -> str:
    """Run the verb again, and look: return what is wrong, or nothing."""
    if verb == "waves":
        command = ["mignet", "up", work.stack, "--engine", engine, "--yes", "--skip-preflight"]
    again = work.run(*command)
    if again.code and any(each in again.out + again.err for each in ("pulumi cancel", "failed to load checkpoint")):
        # What the run itself says to do, or docs/fleets.md.
        work.free()
        again = work.run(*command)
    if again.code:
        return f"the next run: {again.code}: {(again.out + again.err).strip()[-300:]}"
    if verb == "destroy":
        left = work.site.live()
        ours = [name for name in left["attachments"] if name != "foreign"]
        limits = left["hyperconverged"]["spec"].get("liveMigrationConfig", {})
        return f"left: {ours} {limits}" if ours or "network" in limits else ""
    drift = work.pulumi("preview", "--expect-no-changes") if engine == "plain" else work.mignet("drift", engine)
    return "" if drift.code == 0 else f"drift after it: {drift.code}: {(drift.out + drift.err)[-300:]}"


def foreign(work: Workspace) -> object:
    """Return what is not ours, without the attachments of a rename."""
    others = work.site.others()
    others["attachments"] = {name: each for name, each in others["attachments"].items() if name == "foreign"}
    if LIMIT in (limits := others["hyperconverged"]["spec"].get("liveMigrationConfig", {})):
        limits.pop(LIMIT)
    return others


def attempt(one: Try, verb: str, fault: str, part: float) -> str:
    """Try once; return what is wrong, or nothing."""
    key = (one.engine, verb)
    if key not in one.spent:
        whole = Try(one.lab, one.folder, one.engine, one.number + 100_000)
        work, command = whole.prepare(verb)
        started = time.monotonic()
        work.start(*command).communicate()
        one.spent[key] = time.monotonic() - started
    work, command = one.prepare(verb)
    before = foreign(work)
    process = work.start(*command)
    moment = time.monotonic() + one.spent[key] * part
    while process.poll() is None and time.monotonic() < moment:
        time.sleep(0.002)
    if fault == "kill -9":
        kill(process)
    else:
        server = next(each for each in one.lab.status() if each.name == "dev")
        dying = psutil.Process(server.pid)
        dying.kill()
        with contextlib.suppress(psutil.Error):
            dying.wait(10)
        # A rollout waits for a server that is away, as a change of a node's network may do that: it comes back.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(AWAY)
        one.lab.up(lambda _: None)
        try:
            out, err = process.communicate(timeout=BOUND)
        except subprocess.TimeoutExpired:
            kill(process)
            return f"hung for more than {BOUND:.0f} s after the server was back"
        ended = Outcome(process.returncode, out, err)
        if "Traceback" in out + err or "itself failed" in out + err:
            return f"said: {(out + err)[-300:]}"
        if ended.code not in {0, 1, 7}:
            return f"ended with {ended.code}: {(out + err)[-300:]}"
        if "is unreachable: \n" in out + err:
            return "is unreachable, without a reason"
    if wrong := converged(work, verb, one.engine, command):
        return wrong
    return "" if foreign(work) == before else "something foreign has changed"


def main() -> int:
    """Run the campaign, and return the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--tries", type=int, default=6, help="for each engine, verb and fault")
    arguments.add_argument("--engine", choices=["direct", "pulumi", "plain"], action="append")
    given = arguments.parse_args()
    os.environ["PATH"] = programs.path(print)
    draw, counts, wrong = random.Random(given.seed), Counter[str](), list[str]()
    begun, spent = time.monotonic(), dict[tuple[str, str], float]()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder, "lab"), clusters=("dev",), operators=False)
        lab.up(lambda _: None)
        try:
            number = 0
            for engine in given.engine or ["direct", "pulumi", "plain"]:
                for verb in PLAIN if engine == "plain" else VERBS:
                    for fault in ("kill -9", "server dies"):
                        for _ in range(given.tries):
                            number += 1
                            part = draw.uniform(0.2, 1.0)
                            found = attempt(Try(lab, Path(folder), engine, number, spent), verb, fault, part)
                            counts[f"{engine}, {verb}, {fault}"] += 1
                            if found:
                                wrong.append(f"{engine}, {verb}, {fault}, at {part:.2f} of its time: {found}")
                                print(wrong[-1], flush=True)
        finally:
            lab.down()
    print(f"seed {given.seed}, in {time.monotonic() - begun:.0f} s")
    for name, count in counts.items():
        print(f"{count:>4}  {name}")
    print(f"{sum(counts.values())} tries; {len(wrong)} did not come right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
