"""A watch that cannot begin."""

from __future__ import annotations

from pathlib import Path

import forked
from support import ROOT


def test_a_watch_of_stacks_that_cannot_be_read_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.dev.yaml").write_text((ROOT / "Pulumi.dev.yaml").read_text().replace("rangeEnd:", "rangeStop:"))
    ended = forked.mignet("watch", "--all", cwd=tmp_path, timeout=60)
    assert ended.returncode == 2
    assert "rangeStop" in ended.stderr
    assert not ended.stdout
