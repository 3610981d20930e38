"""What the documents say of each finding's code, and the changelog of plans: `tools/docs/generate.py` writes it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def topics() -> dict[str, Any]:
    """Return `codes` (severity, why, remedy and page of each) and `plans` (what versions change)."""
    content: dict[str, Any] = json.loads(Path(__file__).with_name("topics.json").read_text(encoding="utf-8"))
    return content


def page_address(code: str, site: str) -> str | None:
    """Return the address of a code's part of the documents, which are served at `site`; None when it has none."""
    page = topics()["codes"].get(code, {}).get("page")
    if page is None:
        return None
    file, _, part = page.removeprefix("docs/").partition("#")
    return f"{site.rstrip('/')}/{file.removesuffix('.md')}/{f'#{part}' if part else ''}"
