"""Measure `mignet watch` on 300 simulated clusters: `python bench/watch.py [--seconds 600] [--clusters 300]`.

Writes docs/benchmarks-watch.md when it ran for ten minutes over all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import psutil
from fleet import MIGNET, write_fleet
from measuring import MACHINE

CLUSTERS, NODES, SECONDS = 300, 50, 600
HERE = Path(__file__).parent


def declarations(folder: Path) -> list[list[dict[str, object]]]:
    """Return what the stacks declare, by evaluating their program in a process of its own."""
    from config.files.project_files import Project
    from config.loading import load_stack
    from mignet.operations import apply

    project = Project.find(folder)

    async def all_() -> list[list[dict[str, object]]]:
        found = []
        for name in project.stack_names():
            declared = await apply.declared(project, load_stack(name, project.stack_values(name)))
            found.append([each.manifest for each in declared.objects])
        return found

    return asyncio.run(all_())


def main() -> None:  # noqa: PLR0915 (one run, in its order)
    """Run it, print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=CLUSTERS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mignet-bench-") as scratch:
        folder = Path(scratch)
        write_fleet(folder, arguments.clusters, subnet="10.0.0.0/12")
        (folder / "__main__.py").write_bytes((HERE.parent / "__main__.py").read_bytes())
        (folder / "declared.json").write_text(json.dumps(declarations(folder)))
        serving = [sys.executable, str(HERE / "watched_fleet.py"), str(folder), str(arguments.clusters), str(NODES)]
        servers = subprocess.Popen(serving, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert servers.stdin
        assert servers.stdout
        assert servers.stdout.readline().strip() == "ready"
        environment = os.environ | {"KUBECONFIG": str(folder / "kubeconfig"), "XDG_STATE_HOME": str(folder / "state")}
        log = folder / "log"
        with log.open("w") as out, (folder / "err").open("w") as err:
            command = [str(MIGNET), "watch", "--all", "-o", "json", "--listen", "127.0.0.1:0"]
            watch = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
        process = psutil.Process(watch.pid)

        def order(line: str) -> None:
            servers.stdin.write(f"{line}\n")
            servers.stdin.flush()

        def told() -> list[dict[str, str]]:
            return [json.loads(line) for line in log.read_text().splitlines()]

        def until(what: str, stack: int, *, seconds: float, after: int) -> float:
            begun = time.monotonic()
            name = f"cluster-{stack:05}"
            while not any((each["what"], each["stack"]) == (what, name) for each in told()[after:]):
                if time.monotonic() - begun > seconds:
                    return float("nan")
                time.sleep(0.05)
            return time.monotonic() - begun

        try:
            begun = time.monotonic()
            while "serving" not in (folder / "err").read_text():
                time.sleep(0.1)
                assert watch.poll() is None, (folder / "err").read_text()
            url = (folder / "err").read_text().split("serving ")[1].split(",")[0]
            http = httpx2.Client(base_url=url, trust_env=False, timeout=60)
            while http.get("/healthz").json()["stacks"]["kept"] < arguments.clusters:
                assert time.monotonic() - begun < 900, (http.get("/healthz").json(), told()[-3:])
                time.sleep(1)
            started = time.monotonic() - begun
            of_start = process.cpu_times()
            print(
                f"all kept after {started:.0f} s, {of_start.user + of_start.system:.1f} processor seconds,"
                f" {process.memory_info().rss >> 20} MiB",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(min(60, arguments.seconds / 4))
            cpu, wall = sum(process.cpu_times()[:2]), time.monotonic()
            latencies, scrapes, peak = [], [], 0
            number = 0
            while time.monotonic() - wall < arguments.seconds:
                number = (number + 7) % arguments.clusters
                after = len(told())
                order(f"drift {number}")
                latencies.append(until("drift-began", number, seconds=30, after=after))
                order(f"repair {number}")
                until("drift-ended", number, seconds=30, after=after)
                peak = max(peak, process.memory_info().rss >> 20)
                asking = time.monotonic()
                http.get("/metrics")
                scrapes.append(time.monotonic() - asking)
                lost = sum(each["what"] == "cluster-lost" for each in told())
                print(
                    f"{latencies[-1]:.2f} s, {peak} MiB, {scrapes[-1]:.2f} s for /metrics, {lost} lost", file=sys.stderr
                )
                time.sleep(5)
            share = (sum(process.cpu_times()[:2]) - cpu) / (time.monotonic() - wall)
            print(
                f"{share:.2f} of a core, {peak} MiB, drift seen in {max(latencies):.2f} s at most of {len(latencies)}",
                file=sys.stderr,
                flush=True,
            )
            page = time.monotonic()
            size = len(http.get("/").content)
            page = time.monotonic() - page
            after = len(told())
            order("expire 1")
            order("gone 2")
            gone = until("finding-began", 2, seconds=60, after=after)
            order("hang 3")
            time.sleep(1)
            after = len(told())
            order("back 2")
            back = until("finding-ended", 2, seconds=150, after=after)
            hung = until("cluster-lost", 3, seconds=300, after=after)
            order("back 3")
            unhung = until("cluster-back", 3, seconds=180, after=after)
            order("stranger")
            strange = until("cluster-lost", 9, seconds=60, after=after)
            time.sleep(20)
            busy, at = sum(process.cpu_times()[:2]), time.monotonic()
            time.sleep(30)
            busy = (sum(process.cpu_times()[:2]) - busy) / (time.monotonic() - at)
            order("known")
            known = until("cluster-back", 9, seconds=180, after=after)
            peak_all = max(peak, process.memory_info().rss >> 20)
            order("count")
            asked = json.loads(servers.stdout.readline())
            failed = [each for each in told() if each["what"] == "failed"]
            watch.terminate()
            code = watch.wait(20)
        finally:
            watch.kill()
            servers.kill()
    rows = {
        "until all clusters were kept, s": f"{started:.0f}",
        "processor seconds until then": f"{of_start.user + of_start.system:.1f}",
        f"share of a core over {arguments.seconds} s": f"{share:.2f}",
        "memory at most in that time, MiB": f"{peak}",
        "memory at the end, after all that follows, MiB": f"{peak_all}",
        f"from a drift to its line in the log, of {len(latencies)}, median, s": f"{statistics.median(latencies):.2f}",
        "the same, at most, s": f"{max(latencies):.2f}",
        "/metrics, at most, s": f"{max(scrapes):.2f}",
        f"the report page ({size >> 10} KB), s": f"{page:.1f}",
        "a cluster that ends its watches and answers 503: said so after, s": f"{gone:.1f}",
        "the same, said to be over after, s": f"{back:.1f}",
        "a cluster that hangs: said to be lost after, s": f"{hung:.1f}",
        "the same, back after, s ": f"{unhung:.1f}",
        "all with a certificate that nobody trusts: one said to be lost after, s": f"{strange:.1f}",
        "share of a core while none of them can be reached": f"{busy:.2f}",
        "with the old certificate, one is back after, s": f"{known:.1f}",
        "requests in all": ", ".join(f"{key}: {value:,}" for key, value in sorted(asked.items())),
        "faults of mignet itself": str(len(failed)),
        "exit code after SIGTERM": str(code),
    }
    lines = [
        "# Benchmarks of a watch\n",
        f"`mignet watch --all` on {arguments.clusters} simulated clusters of {NODES} nodes with {4 * NODES} virtual",
        "machines, whose API servers are one process on the same machine, over TLS; each HyperConverged's status, and",
        "that of a pod, is",
        f"written again each minute. One run of `python bench/watch.py` on {MACHINE};",
        "processor time is user and system.\n",
        "| what | |",
        "|---|---|",
        *(f"| {key.strip()} | {value} |" for key, value in rows.items()),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    for each in failed[:3]:
        print(each, file=sys.stderr)
    if (arguments.clusters, arguments.seconds) == (CLUSTERS, SECONDS):
        (HERE.parent / "docs" / "benchmarks-watch.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
