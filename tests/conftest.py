"""What several kinds of test share."""

import contextlib
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import support
from floor import pytest_addoption, pytest_runtestloop, pytest_terminal_summary  # noqa: F401 - hooks
from operated import Objects, Operated, renewed, state, until, whole

from mignet.lab.folders import locked
from mignet.lab.lab import Lab
from mignet.lab.operators.cluster_view import QUICK
from mignet.lab.operators.supervisor import attended
from mignet.lab.pulumi_programs import programs
from mignet.lab.seeding.definitions import SLIM, VARIABLE
from mignet.lab.servers import processes

# A sixth of what a server does is to look for memory to use again.
processes.ENVIRONMENT["GOGC"] = "300"

# A shell starts what runs in its background without ctrl-c, and all that is tested would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REAL_CRDS = Path(__file__).parents[2] / "shared" / "crds"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that runs, with the real definitions where there are some; all workers of pytest-xdist share it."""
    base = tmp_path_factory.getbasetemp()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    root = (base.parent if worker else base) / "shared-lab"
    users = root / "users"
    users.mkdir(parents=True, exist_ok=True)
    crds = None if os.environ.get(VARIABLE) else REAL_CRDS if REAL_CRDS.is_dir() else SLIM
    lab = Lab(root / "lab", crds=crds, operators=False)
    me = users / (worker or "main")
    try:
        with locked(root / "lock", on_wait=lambda: None):
            me.touch()
            lab.up(lambda _: None)
        yield lab
    finally:
        with locked(root / "lock", on_wait=lambda: None):
            me.unlink()
            if not any(users.iterdir()):
                lab.down()


@pytest.fixture(scope="session")
def operated_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, list[Objects]]]:
    """A lab of this worker's own, its operators at work, and what each of its clusters held at first."""
    # The slim definitions, which are served in half the time; that the real ones take all of it is a test of its own.
    crds = None if os.environ.get(VARIABLE) else SLIM
    lab = Lab(tmp_path_factory.mktemp("operated") / "lab", crds=crds, operators=False)
    try:
        lab.up(lambda _: None)
        with attended(lab.directory, pace=QUICK):
            one = Operated(lab, Path())
            for cluster in one.clusters:
                until(lambda cluster=cluster: cluster.settled(None) and whole(cluster))
            yield lab, [state(cluster.kube) for cluster in one.clusters]
    finally:
        lab.down()


@pytest.fixture
def operated(operated_lab: tuple[Lab, list[Objects]], tmp_path: Path) -> Operated:
    """The lab whose operators are at work, as it was at first, and a project folder with its two stacks."""
    return renewed(*operated_lab, tmp_path / "project")


@pytest.fixture(scope="session", autouse=True)
def _state_of_no_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what runs record out of the state folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


# Shared machines are slow at times; a property is not false for that.
_COMMON = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
# The same draws in each run: what fails today failed yesterday. `make campaign` draws anew, and more.
hypothesis.settings.register_profile("same", derandomize=True, database=None, **_COMMON)
hypothesis.settings.register_profile("campaign", max_examples=2000, print_blob=True, **_COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    return str(request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        pulumi = pytest.param("pulumi", marks=pytest.mark.pulumi)
        metafunc.parametrize("engine", ["direct", pulumi], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave Pulumi's tests for last: where Pulumi is being built, the others need not wait for it."""
    items.sort(key=lambda item: item.get_closest_marker("pulumi") is not None)


@pytest.fixture(scope="session")
def pulumi_path(pytestconfig: pytest.Config) -> str:
    """A PATH that has Pulumi, built where there is none; `make test` has begun to build it by now."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            sys.stderr.write(f"{line}\n")

    return programs.path(show)


@pytest.fixture(autouse=True)
def _pulumi_where_a_test_wants_it(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("pulumi"):
        monkeypatch.setenv("PATH", request.getfixturevalue("pulumi_path"))


@pytest.fixture
def site(lab: Lab) -> Iterator[support.Site]:
    """A namespace of its own, with a HyperConverged as the operator leaves it."""
    one = support.Site(support.Kube(lab.kubeconfig, "dev"), lab.kubeconfig, "dev", f"t-{uuid.uuid4().hex[:8]}")
    one.create()
    yield one
    one.remove()


@pytest.fixture
def workspace(site: support.Site, tmp_path: Path) -> support.Workspace:
    """A user's project folder with one stack for `site`."""
    one = support.Workspace(tmp_path / "project", site)
    one.create()
    return one


@pytest.fixture
def workspaces(lab: Lab, tmp_path: Path) -> Iterator[Callable[[], support.Workspace]]:
    """Make as many of them as a test wants."""
    made: list[support.Site] = []

    def make() -> support.Workspace:
        kube = support.Kube(lab.kubeconfig, "dev")
        made.append(support.Site(kube, lab.kubeconfig, "dev", f"t-{uuid.uuid4().hex[:8]}"))
        made[-1].create()
        one = support.Workspace(tmp_path / f"project-{len(made)}", made[-1])
        one.create()
        return one

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def bare(lab: Lab) -> support.Kube:
    """The cluster dev-peer without the definitions of the attachment and the HyperConverged. No other test uses it."""
    kube = support.Kube(lab.kubeconfig, "dev-peer")
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    kube.merge(
        "/apis/hco.kubevirt.io/v1beta1/namespaces/openshift-cnv/hyperconvergeds/kubevirt-hyperconverged",
        {"metadata": {"finalizers": None}},
        "test",
    )
    for name in ("network-attachment-definitions.k8s.cni.cncf.io", "hyperconvergeds.hco.kubevirt.io"):
        kube.call("DELETE", f"{definitions}/{name}")
    while any(
        kube.call("GET", path) is not None for path in ("/apis/k8s.cni.cncf.io/v1", "/apis/hco.kubevirt.io/v1beta1")
    ):
        time.sleep(0.02)
    return kube
