"""Run a fleet under faults for half an hour, and count what must not happen: `python bench/soak.py [--seconds 1800]`.

20 clusters of the lab, each behind a proxy, each with simulated operators. All the time `mignet watch --all` runs, and
up, drift --fix and waves one after the other, two at a time, while stack files change, people edit, a controller writes
its own limit back, leases leak, clocks are off, and API servers are killed, hang, are slow, or answer 429 with
Retry-After. Then the faults end, and one `up`, `verify` and `drift` must find nothing wrong. Writes
docs/benchmarks-soak.md when it ran for half an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import selectors
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))

import psutil
import yaml
from measuring import MACHINE
from support import BIN, Kube

from mignet.lab.fault_store import Switchboard
from mignet.lab.lab import Lab, LabError

NAMESPACE = "openshift-cnv"
HCO = f"/apis/hco.kubevirt.io/v1beta1/namespaces/{NAMESPACE}/hyperconvergeds/kubevirt-hyperconverged"
ATTACHMENTS = f"/apis/k8s.cni.cncf.io/v1/namespaces/{NAMESPACE}/network-attachment-definitions"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
STATUS = "k8s.v1.cni.cncf.io/network-status"
NETWORK = "migration"
BOUND = 240.0
"""Seconds that one run over all clusters may take, with 30 s for each of them."""
BUSY = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 181\r\n\r\n"
)
BODY = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "busy", "code": 429}
BODY |= {"reason": "TooManyRequests", "details": {"retryAfterSeconds": 1}}


class Proxy(threading.Thread):
    """What stands between mignet and one API server: it passes bytes on, or does what `mode` says."""

    def __init__(self, port: int, certificates: Path) -> None:
        super().__init__(daemon=True)
        self.port, self.mode, self.certificates = port, "pass", certificates
        self.server = socket.create_server(("127.0.0.1", 0), backlog=200)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.server.getsockname()[1]}"

    def run(self) -> None:
        """Take connections."""
        while True:
            client, _ = self.server.accept()
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(120)
            if self.mode == "busy":
                self._busy(client)
                return
            with socket.create_connection(("127.0.0.1", self.port), 5) as server:
                self._pass(client, server)

    def _busy(self, client: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates / "server.crt", self.certificates / "server.key")
        text = json.dumps(BODY).encode()
        with context.wrap_socket(client, server_side=True) as secure:
            while self.mode == "busy" and secure.recv(1 << 16):
                secure.sendall(BUSY.replace(b"181", str(len(text)).encode()) + text)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        both = {client: server, server: client}
        with selectors.DefaultSelector() as ready:
            for each in both:
                ready.register(each, selectors.EVENT_READ)
            begun = time.monotonic()
            while time.monotonic() - begun < 600:
                for key, _ in ready.select(1.0):
                    if self.mode == "busy":
                        return
                    while self.mode == "hang":
                        time.sleep(0.2)
                    if self.mode == "slow":
                        time.sleep(0.3)
                    source: Any = key.fileobj
                    if not (data := source.recv(1 << 16)):
                        return
                    both[source].sendall(data)


@dataclass
class Soak:
    """The fleet, what happens to it, and what was counted."""

    folder: Path
    lab: Lab
    draw: random.Random
    names: list[str]
    until: float
    proxies: dict[str, Proxy] = field(default_factory=dict)
    kubes: dict[str, Kube] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    largest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environment(self) -> dict[str, str]:
        """What mignet runs with."""
        return os.environ | {
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }

    def note(self, what: str) -> None:
        """Count something that must not happen."""
        self.wrong.append(what)
        print(f"WRONG {what}", flush=True)

    def prepare(self) -> None:
        """Write the project, start the proxies, and put into each cluster what is nobody's business of ours."""
        shutil.copy(ROOT / "__main__.py", self.folder)
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        project["config"]["segment"]["default"] = {"subnet": "10.200.0.0/16", "vlan": 2001, "mtu": 9000}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        config = yaml.safe_load(self.lab.kubeconfig.read_text())
        for entry in (*(each["cluster"] for each in config["clusters"]), *(each["user"] for each in config["users"])):
            for key in ("certificate-authority", "client-certificate", "client-key"):
                if key in entry:
                    entry[key] = str(self.lab.kubeconfig.parent / entry[key])
        ports = {each.name: each.port for each in self.lab.status()}
        for name in self.names:
            proxy = self.proxies[name] = Proxy(ports[name] or 0, self.lab.directory / "certificates" / name)
            proxy.start()
            self.kubes[name] = Kube(self.lab.kubeconfig, name)
            chosen = next(each["context"] for each in config["contexts"] if each["name"] == name)
            entry = next(each["cluster"] for each in config["clusters"] if each["name"] == chosen["cluster"])
            entry["server"] = proxy.address
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(config))
        for number, name in enumerate(self.names):
            self.stack(name, number, 800)
            kube = self.kubes[name]
            kube.merge(HCO, {"spec": {"liveMigrationConfig": {"allowAutoConverge": True}}}, "admin")
            foreign = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
            foreign |= {"metadata": {"name": "foreign", "namespace": NAMESPACE, "labels": {"of": "others"}}}
            kube.call("POST", ATTACHMENTS, json=foreign | {"spec": {"config": '{"type":"bridge"}'}})

    def stack(self, name: str, number: int, limit: int) -> None:
        """Write a stack's file."""
        config = {
            "cluster": {"context": name, "namespace": NAMESPACE},
            "attachment": {"type": "macvlan", "name": NETWORK, "master": "eth1"},
            "slice": {"rangeStart": f"10.200.{number + 1}.10", "rangeEnd": f"10.200.{number + 1}.60"},
            "hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": limit, "parallelMigrationsPerCluster": 5}},
        }
        content = {"config": {f"migration-network:{key}": value for key, value in config.items()}}
        path = self.folder / f"Pulumi.{name}.yaml"
        temporary = path.with_suffix(".new")
        temporary.write_text(yaml.safe_dump(content))
        temporary.replace(path)

    def run(self, *command: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run mignet; one that takes longer than its bound is counted, and ended."""
        line = [*prefix, str(BIN / "mignet"), *command]
        begun = time.monotonic()
        process = subprocess.Popen(
            line, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        done, peak = threading.Event(), [0.0]
        threading.Thread(target=_peak, args=(process.pid, done, peak), daemon=True).start()
        try:
            said, _ = process.communicate(timeout=BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            self.note(f"hung for more than {BOUND:.0f} s: {' '.join(command)}: {said[-400:]}")
        done.set()
        took = time.monotonic() - begun
        self.largest = max(self.largest, peak[0])
        self.longest[command[0]] = max(self.longest.get(command[0], 0.0), took)
        self.runs[f"{command[0]}, exit {process.returncode}"] += 1
        if "Traceback" in said or "itself failed" in said or process.returncode not in {0, 1, 7}:
            self.note(f"{' '.join(command)} ended with {process.returncode}: {said[-600:]}")
        return process.returncode, said

    def work(self, number: int) -> None:
        """Run verbs, one after the other."""
        draw = random.Random(number)
        while time.monotonic() < self.until:
            some = draw.sample(self.names, min(6, len(self.names)))
            with self.writing:
                for name in some[:3]:
                    self.stack(name, self.names.index(name), draw.choice([700, 750, 800]))
            bound = ["--timeout", "30", "--engine", "direct"]
            skewed = (
                ("faketime", draw.choice(["+20m", "-20m"])) if draw.random() < 0.2 and shutil.which("faketime") else ()
            )
            self.faults["clock skew"] += bool(skewed)
            match draw.randrange(4):
                case 0:
                    self.run("up", "--all", "--yes", "--skip-preflight", *bound, prefix=skewed)
                case 1:
                    self.run("up", *some, "--yes", *bound, "--canary", some[0], prefix=skewed)
                case 2:
                    self.run("drift", "--all", "--fix", "--yes", "--wait", "10", *bound, prefix=skewed)
                case _:
                    self.run("up", *some, "--yes", "--allow-not-judged", *bound, prefix=skewed)

    def break_(self) -> None:
        """Break something, and mend it, again and again."""
        while time.monotonic() < self.until:
            name, seconds = self.draw.choice(self.names), self.draw.uniform(3, 20)
            what = self.draw.choice(["killed", "hang", "busy", "slow", "fight", "edit", "leak", "asleep"])
            self.faults[what] += 1
            with contextlib.suppress(Exception):
                getattr(self, f"_{what}", self._mode)(name, seconds, what)

    def _mode(self, name: str, seconds: float, what: str) -> None:
        self.proxies[name].mode = what
        self.ended.wait(seconds)
        self.proxies[name].mode = "pass"

    def _killed(self, name: str, seconds: float, _: str) -> None:
        pid = next(each.pid for each in self.lab.status() if each.name == name)
        if pid:
            psutil.Process(pid).kill()
            self.ended.wait(seconds)
        self.lab.up(lambda _: None)

    def _fight(self, name: str, seconds: float, _: str) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            patch = {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 123}}}
            self.kubes[name].merge(HCO, patch, "argocd-controller")
            self.ended.wait(0.3)

    def _edit(self, name: str, seconds: float, _: str) -> None:
        self.kubes[name].merge(HCO, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}, "kubectl-edit")
        self.ended.wait(min(seconds, 3))

    def _leak(self, name: str, seconds: float, _: str) -> None:
        board = Switchboard(self.lab, name)
        board.switch_on(["leases-leaked=8"])
        self.ended.wait(seconds)
        board.heal()

    def _asleep(self, name: str, seconds: float, _: str) -> None:
        board = Switchboard(self.lab, name)
        board.switch_on(["operator-asleep"])
        self.ended.wait(seconds)
        board.heal()

    def look(self, watch: subprocess.Popen[str]) -> None:
        """Look for addresses that two pods have, and how large the watch is."""
        while not self.ended.wait(5):
            with contextlib.suppress(psutil.Error):
                self.memory.append(psutil.Process(watch.pid).memory_info().rss / 2**20)
            if watch.poll() is not None:
                self.note(f"the watch ended with {watch.returncode}")
                return
            self._addresses()

    def _addresses(self) -> None:
        holders: dict[str, list[str]] = {}
        for name, kube in self.kubes.items():
            try:
                pods = kube.call("GET", PODS)["items"]
            except Exception:
                continue
            for pod in pods:
                if pod["metadata"].get("deletionTimestamp"):
                    continue
                for each in json.loads(pod["metadata"].get("annotations", {}).get(STATUS, "[]")):
                    if each.get("interface") == "migration0":
                        for address in each.get("ips", ()):
                            holders.setdefault(address, []).append(f"{name}/{pod['metadata']['name']}")
        for address, found in holders.items():
            if len(found) > 1:
                self.note(f"{address} was given to {found}")

    def foreign(self) -> list[str]:
        """Return what of others was changed."""
        found = []
        for name, kube in self.kubes.items():
            attachment = kube.call("GET", f"{ATTACHMENTS}/foreign")
            limits = kube.call("GET", HCO)["spec"]["liveMigrationConfig"]
            if (attachment or {}).get("spec") != {"config": '{"type":"bridge"}'} or (
                attachment["metadata"]["labels"] != {"of": "others"}
            ):
                found.append(f"{name}: the foreign attachment")
            if limits.get("allowAutoConverge") is not True:
                found.append(f"{name}: allowAutoConverge is {limits.get('allowAutoConverge')}")
        return found

    def settle(self) -> None:
        """End all faults, and demand that one run comes right."""
        bring_up(self.lab)
        for name, proxy in self.proxies.items():
            proxy.mode = "pass"
            Switchboard(self.lab, name).heal()
        code, said = self.run("up", "--all", "--yes", "--engine", "direct", "--skip-preflight")
        if code:
            self.note(f"the last up ended with {code}: {said[-1500:]}")
        for verb in (["verify", "--all", "--timeout", "150"], ["drift", "--all", "--engine", "direct"]):
            code, said = self.run(*verb)
            if code:
                self.note(f"the last {verb[0]} ended with {code}: {said[-1500:]}")
        for each in self.foreign():
            self.note(f"changed: {each}")


def bring_up(lab: Lab) -> None:
    """Bring a lab up; many servers at once take longer than it has patience for, so it is told again."""
    for left in reversed(range(10)):
        try:
            lab.up(lambda line: print(line, file=sys.stderr))
        except LabError:
            if not left:
                raise
        else:
            return


def _megabytes(found: list[float]) -> str:
    return f"{statistics.median(found):.0f} MB, {max(found):.0f} at most" if found else "?"


def _peak(pid: int, done: threading.Event, peak: list[float]) -> None:
    """Keep the most memory of a process, in MB."""
    while not done.wait(0.2):
        with contextlib.suppress(psutil.Error):
            peak[0] = max(peak[0], psutil.Process(pid).memory_info().rss / 2**20)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main() -> int:
    """Run it, print the figures, and write them; exit 1 when something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    names = [f"c{number + 1:02}" for number in range(given.clusters)]
    with tempfile.TemporaryDirectory(prefix="mignet-soak-") as scratch:
        folder = Path(scratch) / "fleet"
        folder.mkdir()
        lab = Lab(Path(scratch) / "lab", clusters=names)
        try:
            bring_up(lab)
            soak = Soak(folder, lab, random.Random(given.seed), names, 0.0)
            soak.prepare()
            return _soak(soak, given)
        finally:
            lab.down(force=True)


def _soak(soak: Soak, given: argparse.Namespace) -> int:
    soak.run("up", "--all", "--yes", "--engine", "direct", "--skip-preflight")
    soak.until = time.monotonic() + given.seconds
    log = (soak.folder / "watch.log").open("w")
    command = [str(BIN / "mignet"), "watch", "--all", "-o", "json", "--listen", f"127.0.0.1:{free_port()}"]
    watch = subprocess.Popen(command, cwd=soak.folder, env=soak.environment, stdout=log, stderr=log, text=True)
    looking = threading.Thread(target=soak.look, args=(watch,))
    threads = [threading.Thread(target=soak.break_) for _ in range(3)]
    threads += [threading.Thread(target=soak.work, args=(number,)) for number in range(2)]
    for each in (*threads, looking):
        each.start()
    for each in threads:
        each.join()
    soak.settle()
    soak.ended.set()
    looking.join()
    watch.terminate()
    if watch.wait(30):
        soak.note(f"the watch ended with {watch.returncode} when it was told to end")
    log.close()
    said = (soak.folder / "watch.log").read_text()
    if "Traceback" in said:
        soak.note(f"the watch said: {said[said.index('Traceback') :][:1500]}")
    told = Counter(re.findall(r'"what": ?"([a-z-]+)"', said)) or Counter({"changes": said.count("\n")})
    # It has settled by the second third.
    third = len(soak.memory) // 3
    early, late = soak.memory[third : 2 * third], soak.memory[2 * third :]
    lines = [
        "# A fleet under faults",
        "",
        f"{given.clusters} clusters for {given.seconds // 60} minutes: `bench/soak.py`, seed {given.seed} ({MACHINE}).",
        "",
        "| | |",
        "|---|---|",
        f"| what must not happen | {len(soak.wrong)} |",
        f"| faults | {', '.join(f'{name} {count}' for name, count in sorted(soak.faults.items()))} |",
        f"| runs | {', '.join(f'{name}: {count}' for name, count in sorted(soak.runs.items()))} |",
        f"| longest | {', '.join(f'{verb} {seconds:.0f} s' for verb, seconds in soak.longest.items())} |",
        f"| the largest run | {soak.largest:.0f} MB |",
        f"| the watch, second third | {_megabytes(early)} |",
        f"| the watch, last third | {_megabytes(late)} |",
        f"| what the watch told | {', '.join(f'{name} {count}' for name, count in sorted(told.items()))} |",
        "",
        "What must not happen: a foreign field or object that is changed, an address that two pods have, a run over",
        f"its bound ({BOUND:.0f} s), a traceback, an exit code of no meaning, a watch that ends, and anything that is",
        "left when the faults have ended.",
    ]
    text = "\n".join([*lines, *(f"\n- {each}" for each in soak.wrong)]) + "\n"
    print(text)
    if given.seconds >= 1800 and given.clusters >= 20 and not soak.wrong:
        (ROOT / "docs" / "benchmarks-soak.md").write_text(text, encoding="utf-8")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
