"""What the tests of preflight share."""

import os
from collections.abc import Iterator

import pytest
from preflight_traps import HANDLER, HYPERCONVERGED, KUBEVIRT, MULTUS, RECONCILER, daemon_set, kubevirt, path
from support import REAL_CRDS, Kube

from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM, VARIABLE


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of one cluster that nobody else uses, fit for a migration network."""
    crds = None if os.environ.get(VARIABLE) else REAL_CRDS if REAL_CRDS.is_dir() else SLIM
    lab = Lab(tmp_path_factory.mktemp("preflight") / "lab", clusters=("dev",), crds=crds, operators=False)
    try:
        lab.up(lambda _: None)
        make_fit(lab)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def fit(own: Lab) -> Lab:
    """The same, fit again after what the test before did to its HyperConverged: no operator is at work in it."""
    make_fit(own)
    return own


def make_fit(lab: Lab) -> None:
    """Give the cluster dev what an operator at work would have made there."""
    kube = Kube(lab.kubeconfig, "dev")
    needed = {KUBEVIRT: kubevirt("DecentralizedLiveMigration")}
    for place, made in (needed | {each: daemon_set(each) for each in (RECONCILER, MULTUS, HANDLER)}).items():
        if kube.call("GET", path(place)) is None:
            kube.call("POST", path(place).rpartition("/")[0], json=made)
    for place in (HYPERCONVERGED, KUBEVIRT):
        live = kube.call("GET", path(place))
        live.setdefault("status", {})["observedGeneration"] = live["metadata"]["generation"]
        kube.call("PUT", f"{path(place)}/status", json=live)


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The same with a HyperConverged that is stored as v1, and the defaults of the next release."""
    if not REAL_CRDS.is_dir():
        pytest.skip("no real CRDs in ../shared/crds")
    folder = tmp_path_factory.mktemp("newest") / "lab"
    lab = Lab(folder, clusters=("dev",), crds=REAL_CRDS, hco_release="main", operators=False)
    try:
        lab.up(lambda _: None)
        make_fit(lab)
        yield lab
    finally:
        lab.down()
