"""The model of migrations, held against a few real ones between two QEMU processes; make bench-qemu does 130."""

from __future__ import annotations

import os

import pytest
import qemu_pairs
from qemu_pairs import Case

from mignet.capacity.rounds import Ending

pytestmark = pytest.mark.skipif(
    bool(qemu_pairs.MISSING) or not qemu_pairs.root(),
    reason=f"needs root and {', '.join(qemu_pairs.MISSING) or 'QEMU'}: make qemu",
)
WORST = 0.15
"""Part by which a predicted time may be off."""

CASES = {
    "writes": Case(128, 32, 10.0, 24, 100),
    "post-copy": Case(128, 32, 40.0, 16, 24, post_copy=5.0),
    "multifd": Case(128, 32, 4.0, 24, 100, channels=8),
}


def one(case: Case, name: str) -> tuple[float | None, float, Ending]:
    """Return the seconds that QEMU took and those of the model, with how it says that it ends."""
    (found,) = qemu_pairs.measure([case], f"mignet-q-{os.getpid()}-{name}"[:14])
    (said,) = qemu_pairs.predict([found])
    return found.seconds, said.end, said.ending


@pytest.mark.parametrize("name", CASES)
def test_the_model_says_how_long_qemu_takes(name: str) -> None:
    real, predicted, ending = one(CASES[name], "m")
    assert real is not None
    assert predicted == pytest.approx(real, rel=WORST)
    assert ending is (Ending.POST_COPY if name == "post-copy" else Ending.PRE_COPY)


def test_the_model_says_that_it_never_ends() -> None:
    real, _, ending = one(Case(128, 64, 40.0, 16, 100, longest=12.0), "n")
    assert (real, ending) == (None, Ending.NEVER)


def test_the_model_says_how_long_two_on_one_link_take() -> None:
    found = qemu_pairs.measure(
        [Case(96, 16, 2.0, None, 24), Case(96, 16, 2.0, None, 24)], f"mignet-q-{os.getpid()}"[:14]
    )
    for real, said in zip(found, qemu_pairs.predict(found), strict=True):
        assert real.seconds is not None
        assert said.end == pytest.approx(real.seconds, rel=2 * WORST)
