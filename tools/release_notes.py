"""Print what the changelog says of a version, as notes of its release: `python tools/release_notes.py 0.1.0`.

Ends with 1 when pyproject.toml has another version, or the changelog has none of that name: no such release is made.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(version: str) -> str:
    """Return the changelog's section of that version. Raises ValueError when it is not the one to release."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if declared != version:
        msg = f"pyproject.toml has version {declared}, not {version}: correct it, run tools/docs/generate.py, tag again"
        raise ValueError(msg)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(version)}\b.*\n((?:(?!## ).*\n?)*)", changelog, flags=re.MULTILINE)
    if found is None:
        msg = f"CHANGELOG.md has no section {version}: rename Unreleased, and tag again"
        raise ValueError(msg)
    return found[1].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(notes(sys.argv[1]))
    except ValueError as error:
        sys.exit(str(error))
