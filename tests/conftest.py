"""What several kinds of test share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mignet.lab.definitions import SLIM, VARIABLE
from mignet.lab.folders import locked
from mignet.lab.lab import Lab

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
    lab = Lab(root / "lab", crds=crds)
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
