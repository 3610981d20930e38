"""What the tests of preflight share."""

import os
from collections.abc import Iterator

import pytest
from preflight_traps import KUBEVIRT, RECONCILER, kubevirt, path, reconciler
from support import REAL_CRDS, Kube

from mignet.lab.definitions import SLIM, VARIABLE
from mignet.lab.lab import Lab


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of one cluster that nobody else uses, fit for a migration network."""
    crds = None if os.environ.get(VARIABLE) else REAL_CRDS if REAL_CRDS.is_dir() else SLIM
    lab = Lab(tmp_path_factory.mktemp("preflight") / "lab", clusters=("dev",), crds=crds, operators=False)
    try:
        lab.up(lambda _: None)
        kube = Kube(lab.kubeconfig, "dev")
        for place, made in ((KUBEVIRT, kubevirt("DecentralizedLiveMigration")), (RECONCILER, reconciler())):
            if kube.call("GET", path(place)) is None:
                kube.call("POST", path(place).rpartition("/")[0], json=made)
        yield lab
    finally:
        lab.down()
