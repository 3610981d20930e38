"""The lab as a whole: bring it up, see how it is, take it down. The package's docstring says what it consists of."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mignet.kube.kubeconfig import PULUMI_ENVIRONMENT
from mignet.lab.dataplane import controllers, namespaces, plugins
from mignet.lab.errors import LabError
from mignet.lab.folders import locked, private_folder, state_folder, write_private
from mignet.lab.seeding.conversion import gates_of
from mignet.lab.seeding.definitions import HYPERCONVERGED, SLIM, Definition, folder_from_environment, load
from mignet.lab.seeding.seeds import Site
from mignet.lab.seeding.write import Converter, seed, use_converter
from mignet.lab.servers import binaries, control_plane, kubeconfig, processes, webhook
from mignet.lab.servers.certificates import issue_all
from mignet.lab.servers.http_client import connect, is_ready
from mignet.lab.servers.processes import EndedEarlyError, Process
from mignet.lab.state import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx2

__all__ = ["Lab", "LabError", "ProcessStatus"]

ETCD = "etcd"

CONVERSION = "conversion"
"""The process that converts HyperConvergeds between two API versions, where the release serves both."""

OPERATORS = "operators"
"""The process of the stand-ins for the operators of all clusters; it listens nowhere."""

DATAPLANE = "dataplane"
"""The process of the nodes' data plane; it listens nowhere, either."""

CONTROLLERS = "controllers"
"""The process of Kubernetes' own controllers that a checkup relies on; only beside a data plane."""

START_TIMEOUT = 60.0
"""Seconds within which a started server must be ready."""

POLL_INTERVAL = 0.03
"""Seconds between two questions whether a server is ready."""

START_ATTEMPTS = 3
"""How often servers are started when somebody takes a port between its choice and its use."""

NO_PORT = 0

DEPLOYED = "/apis/apps/v1/namespaces/openshift-cnv/daemonsets/virt-handler"
"""What the stand-ins for the operators make in a new cluster."""

SEEDABLE = "/readyz/poststarthook/crd-informer-synced"
"""Answers well before /readyz, which waits for the built-in roles; an admin needs none of those."""


@dataclasses.dataclass(frozen=True)
class ProcessStatus:
    """How one process is. `pid` is None unless it runs; `port` is its last one, None when it has, or had, none."""

    name: str
    pid: int | None
    port: int | None
    running: bool
    ready: bool


@dataclasses.dataclass(frozen=True)
class DataPlane:
    """Where the programs of a data plane are: the folder of the CNI plugins, and the controllers."""

    plugins: Path
    controllers: Path


class Lab:
    """Clusters for development, all of one folder; any number of objects and programs may stand for the same folder.

    `directory` is the lab's folder (default: the user's state folder); `crds` a folder of real
    CustomResourceDefinitions (default: what `MIGNET_LAB_CRDS` names, else the slim ones); `hco_release` which
    HyperConverged of several in that folder; `operators` whether stand-ins for the operators run, too; `dataplane`
    whether its nodes get a data plane, which needs root. A lab that has one keeps it. `checkout` is the folder whose
    stacks are for this lab; another one has no business there.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        clusters: Sequence[str] = ("dev", "dev-peer"),
        crds: Path | None = None,
        hco_release: str = "v1.18.1",
        operators: bool = True,
        dataplane: bool = False,
        checkout: Path | None = None,
    ) -> None:
        self.directory = (directory or state_folder()).absolute()
        self.clusters = tuple(clusters)
        self.kubeconfig = self.directory / "kubeconfig"
        self._crds = crds or folder_from_environment()
        self._hco_release = hco_release
        self._operators = operators
        self._dataplane = dataplane
        self._checkout = str(checkout or "")
        self._certificates = self.directory / "certificates"
        self._record = self.directory / "lab.json"
        # Beside the folder, not in it: the lock must outlive the folder's removal.
        self._lock = self.directory.with_name(f"{self.directory.name}.lock")

    def up(self, progress: Callable[[str], None]) -> None:
        """Bring the lab up, or what of it is down, and return when all of it is ready; what runs is left alone.

        The first time, the clusters are seeded, and the servers' programs may have to be built. `progress` gets a line
        for each step. Raises LabError.
        """
        with self._locked(progress):
            record = self._known(progress) or Record(
                clusters=list(self.clusters),
                crds=str((self._crds or SLIM).absolute()),
                hco_release=self._hco_release,
                operators=self._operators,
                checkout=self._checkout,
            )
            record.dataplane = record.dataplane or self._dataplane
            if self._is_whole(record):
                record.write(self._record)
                progress("the lab is up already")
                return
            unseeded = [cluster for cluster in self.clusters if cluster not in record.seeded]
            # Before anything starts, so that a wrong folder leaves nothing behind.
            definitions = load(Path(record.crds), hco_release=record.hco_release) if unseeded else []
            for definition in definitions:
                if definition["metadata"]["name"] == HYPERCONVERGED and not record.seeded:
                    record.gates = gates_of(definition)
            plane = _data_plane(progress) if record.dataplane else None
            programs = binaries.find(progress)
            private_folder(self.directory)
            issue_all(self._certificates, clusters=self.clusters)
            self._start_until_ready(record, programs, definitions, progress, plane)

    def down(self, *, keep: bool = False, force: bool = False) -> None:
        """End the lab's processes and remove its data; with `keep`, the next `up` finds the data again.

        Raises LabError when a process does not end, and unless `force` when the lab is another checkout's.
        """
        with self._locked(lambda _: None):
            record = Record.read(self._record)
            if record is not None:
                if not force:
                    self._owned(record, lambda _: None)
                # etcd last: without it, the others cannot end in order.
                etcd = record.processes.pop(ETCD, None)
                processes.stop(record.processes.values())
                processes.stop([etcd] if etcd else [])
            if not keep:
                self._remove()

    def status(self) -> list[ProcessStatus]:
        """Return how each process is, etcd first. Raises LabError when the lab's own notes are damaged."""
        record = Record.read(self._record)
        known = record.processes if record else {}
        operators = record.operators if record else self._operators
        names = [ETCD, *([CONVERSION] if record and record.gates else [])]
        names += [*(record.clusters if record else self.clusters), *([OPERATORS] if operators else [])]
        names += [DATAPLANE, CONTROLLERS] if record and record.dataplane else []
        return [self._status(name, known.get(name)) for name in names]

    @property
    def has_dataplane(self) -> bool:
        """Whether its nodes have a data plane. Raises LabError when the lab's own notes are damaged."""
        record = Record.read(self._record)
        return record is not None and record.dataplane

    def client(self, cluster: str) -> httpx2.Client:
        """Return a client of a cluster, as its administrator. Raises LabError when there is no such cluster."""
        record = Record.read(self._record)
        if record is None or cluster not in record.processes or cluster not in record.clusters:
            known = ", ".join(record.clusters) if record else "none: run `mignet lab up`"
            msg = f"the lab has no cluster {cluster}; it has {known}"
            raise LabError(msg)
        return self._client(record.processes[cluster])

    def pulumi_environment(self) -> dict[str, str]:
        """Return the environment variables with which Pulumi works on the lab, its state in the lab's folder.

        Makes the folder of that state: Pulumi does not.
        """
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "PULUMI_BACKEND_URL": f"file://{private_folder(private_folder(self.directory) / 'pulumi')}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }

    def _owned(self, record: Record, progress: Callable[[str], None]) -> None:
        """Make the lab this checkout's. Raises LabError when it is that of another one, which is there still."""
        if not self._checkout or record.checkout == self._checkout:
            return
        if record.checkout and Path(record.checkout).is_dir():
            msg = (
                f"the lab in {self.directory} is that of {record.checkout}, whose stacks are on it: work there, or end"
                " it there with `mignet lab down`"
            )
            raise LabError(msg)
        if record.checkout:
            progress(f"taking the lab over from {record.checkout}, which is no more")
        record.checkout = self._checkout

    def _locked(self, progress: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
        return locked(self._lock, on_wait=lambda: progress("waiting: another mignet lab is at work on this lab"))

    def _known(self, progress: Callable[[str], None]) -> Record | None:
        """Return what is recorded of this lab, once it is sure that it is ours, and made as it is wanted now."""
        record = Record.read(self._record)
        if record is None:
            return None
        self._owned(record, progress)
        wanted = dataclasses.replace(
            record,
            clusters=list(self.clusters),
            crds=str(self._crds.absolute()) if self._crds else record.crds,
            hco_release=self._hco_release if self._crds else record.hco_release,
        )
        if wanted != record:
            msg = (
                f"the lab in {self.directory} was made with clusters {', '.join(record.clusters)}, definitions from "
                f"{record.crds} and HyperConverged {record.hco_release}; to change that, run `mignet lab down` first"
            )
            raise LabError(msg)
        return record

    def _status(self, name: str, process: Process | None) -> ProcessStatus:
        if process is None:
            return ProcessStatus(name, pid=None, port=None, running=False, ready=False)
        running = process.running
        return ProcessStatus(
            name,
            pid=process.pid if running else None,
            port=process.port or None,
            running=running,
            ready=running and self._is_ready(process),
        )

    def _is_ready(self, process: Process) -> bool:
        if process.port == NO_PORT:
            return True
        try:
            with self._client(process) as client:
                return is_ready(client)
        except OSError:
            return False  # Somebody removed the certificates.

    def _is_whole(self, record: Record) -> bool:
        return (
            self.kubeconfig.exists()
            and set(record.seeded) == set(self.clusters)
            and all(self._status(name, record.processes.get(name)).ready for name in self._names(record))
        )

    def _names(self, record: Record) -> list[str]:
        beside = {
            CONVERSION: bool(record.gates),
            OPERATORS: record.operators,
            DATAPLANE: record.dataplane,
            CONTROLLERS: record.dataplane,
        }
        return [ETCD, *self.clusters, *(name for name, wanted in beside.items() if wanted)]

    def _converter(self, record: Record) -> Converter | None:
        """Return who converts HyperConvergeds, if somebody has to."""
        if not record.gates:
            return None
        authority = (self._certificates / CONVERSION / "ca.crt").read_bytes()
        return Converter(f"https://127.0.0.1:{record.processes[CONVERSION].port}{webhook.PATH}", authority)

    def _client(self, process: Process) -> httpx2.Client:
        name = "client" if process.name in {ETCD, CONVERSION} else "admin"
        return connect(process.port, self._certificates / process.name, name=name)

    def _start_until_ready(
        self,
        record: Record,
        programs: binaries.Programs,
        definitions: Sequence[Definition],
        progress: Callable[[str], None],
        plane: DataPlane | None,
    ) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            self._start_missing(record, programs, progress)
            if plane:
                command = [sys.executable, "-I", "-m", "mignet.lab.dataplane", str(self.directory), str(plane.plugins)]
                self._start_beside(record, DATAPLANE, command, progress)
            try:
                self._finish(record, definitions, progress)
            except EndedEarlyError as error:
                if not error.port_taken or attempt == START_ATTEMPTS:
                    raise
                progress(f"{error.name}: somebody took its port meanwhile, trying another")
            else:
                break
        if plane:
            # Not before: while a server does not answer, they ask ever more rarely.
            command = controllers.command(plane.controllers, self.kubeconfig, self.clusters)
            self._start_beside(record, CONTROLLERS, command, progress)

    def _start_missing(self, record: Record, programs: binaries.Programs, progress: Callable[[str], None]) -> None:
        """Start every server that does not run, all at once: an API server waits for its etcd by itself."""
        known = record.processes
        if not (ETCD in known and known[ETCD].running):
            port = _port(record, ETCD)
            if ETCD in known and port != known[ETCD].port:
                # They know etcd by its old port.
                processes.stop(known[cluster] for cluster in self.clusters if cluster in known)
            command = control_plane.etcd_command(
                programs.etcd, certificates=self._certificates / ETCD, data=self.directory / "etcd", port=port
            )
            progress(f"{ETCD}: starting on 127.0.0.1:{port}")
            self._start(record, ETCD, command, port=port)
        if record.gates and not (CONVERSION in known and known[CONVERSION].running):
            port = _port(record, CONVERSION)
            folder, gates = self._certificates / CONVERSION, json.dumps(record.gates)
            command = [sys.executable, "-I", "-m", "mignet.lab.servers.webhook", str(port), str(folder), gates]
            self._start(record, CONVERSION, command, port=port)
        for number, cluster in enumerate(self.clusters):
            if cluster in known and known[cluster].running:
                continue
            port = _port(record, cluster)
            if cluster in known and port != known[cluster].port:
                # Before the new port is recorded: whoever is interrupted now finds that the file is to be written.
                self.kubeconfig.unlink(missing_ok=True)
                # They have read it once.
                processes.stop([known[CONTROLLERS]] if CONTROLLERS in known else [])
            command = control_plane.apiserver_command(
                programs.kube_apiserver,
                cluster=cluster,
                certificates=self._certificates / cluster,
                service_network=Site(cluster, number).service_network,
                etcd_certificates=self._certificates / ETCD,
                etcd_port=known[ETCD].port,
                port=port,
            )
            progress(f"{cluster}: starting on 127.0.0.1:{port}")
            self._start(record, cluster, command, port=port)
        if record.operators and not (OPERATORS in known and known[OPERATORS].running):
            command = [sys.executable, "-I", "-m", "mignet.lab.operators", str(self.directory)]
            progress(f"{OPERATORS}: starting the simulated operators of the clusters")
            self._start(record, OPERATORS, command, port=NO_PORT)
        environment = json.dumps(self.pulumi_environment())
        write_private(self.kubeconfig.with_name(PULUMI_ENVIRONMENT), environment.encode())
        # An existing one is left as it is: the user may have chosen another context in it.
        if not self.kubeconfig.exists():
            ports = {cluster: known[cluster].port for cluster in self.clusters}
            write_private(self.kubeconfig, kubeconfig.render(ports, certificates=self._certificates))

    def _start_beside(self, record: Record, name: str, command: Sequence[str], progress: Callable[[str], None]) -> None:
        """Start a process that listens nowhere, unless it runs."""
        if not (name in record.processes and record.processes[name].running):
            progress(f"{name}: starting")
            self._start(record, name, command, port=NO_PORT)

    def _start(self, record: Record, name: str, command: Sequence[str], *, port: int) -> None:
        record.processes[name] = processes.start(name, command, port=port, log=self._log(name))
        # At once: whatever happens to this program now, the process is not forgotten.
        record.write(self._record)

    def _finish(self, record: Record, definitions: Sequence[Definition], progress: Callable[[str], None]) -> None:
        """Wait for the servers, and seed the clusters that are not; raises the first error, after all have ended."""
        begin = time.monotonic()
        etcd = record.processes[ETCD]
        converter = self._converter(record)
        if converter:
            conversion = record.processes[CONVERSION]
            with self._client(conversion) as client:
                self._wait(client, "/readyz", (conversion,))

        def finish(number: int, cluster: str) -> None:
            needed = (etcd, record.processes[cluster])
            with self._client(needed[-1]) as client:
                if cluster not in record.seeded:
                    self._wait(client, SEEDABLE, needed)
                    seed(client, Site(cluster, number), definitions, converter)
                self._wait(client, "/readyz", needed)
                if converter and cluster in record.seeded:
                    # It may have another port than before.
                    use_converter(client, converter)
                if record.operators:
                    self._wait_for_operators(client, (*needed, record.processes[OPERATORS]))
            progress(f"{cluster}: ready after {time.monotonic() - begin:.1f} s")

        with ThreadPoolExecutor(len(self.clusters)) as pool:
            for cluster, done in [(c, pool.submit(finish, n, c)) for n, c in enumerate(self.clusters)]:
                done.result()
                record.seeded = sorted({*record.seeded, cluster})
                record.write(self._record)

    def _wait(self, client: httpx2.Client, path: str, needed: Sequence[Process]) -> None:
        self._wait_until(lambda: is_ready(client, path), needed)

    def _wait_for_operators(self, client: httpx2.Client, needed: Sequence[Process]) -> None:
        """Wait until KubeVirt is there: a preflight that runs before would find no virt-handler."""

        def deployed() -> bool:
            answer = client.get(DEPLOYED)
            status = answer.json().get("status", {}) if answer.is_success else {}
            return bool(status.get("desiredNumberScheduled"))

        self._wait_until(deployed, needed)

    def _wait_until(self, condition: Callable[[], bool], needed: Sequence[Process]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            ended = [process.name for process in needed if not process.running]
            if ended:
                raise EndedEarlyError(ended[0], self._log(ended[0]))
            if time.monotonic() > deadline:
                name = needed[-1].name
                msg = (
                    f"{name} runs but is not ready after {START_TIMEOUT:.0f} s, see {self._log(name)}; "
                    "`mignet lab down` ends it"
                )
                raise LabError(msg)
            time.sleep(POLL_INTERVAL)

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _remove(self) -> None:
        """Remove what the lab wrote, and the folder unless there is something else in it."""
        for folder in ("etcd", "certificates", "logs", "pulumi", "dataplane"):
            shutil.rmtree(self.directory / folder, ignore_errors=True)
        # The record last: as long as it is there, another `down` finishes the job.
        for file in (self.kubeconfig, self.kubeconfig.with_name(PULUMI_ENVIRONMENT), self._record):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()


def _data_plane(progress: Callable[[str], None]) -> DataPlane:
    """Return the programs of a data plane. Raises LabError when there can be none here."""
    if reason := namespaces.missing():
        msg = f"there can be no data plane here: {reason}; the lab runs without --dataplane, too"
        raise LabError(msg)
    return DataPlane(plugins=plugins.find(progress), controllers=controllers.find(progress))


def _port(record: Record, name: str) -> int:
    """Return the port for `name`: its last one while it is free, and never that of another of the lab's servers."""
    known = record.processes.get(name)
    others = {process.port for process in record.processes.values() if process.name != name}
    return processes.free_port(known.port if known else None, avoid=others)
