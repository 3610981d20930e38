"""Take the pictures of docs/img anew: `python tools/docs/screenshots.py`. They show fleets that the tests make up."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS.parent / "tests" / "fixtures"))

import pictured

from mignet.report.rendering import diagrams, page, svg

IMAGES = DOCS / "img"
SHOTS = [
    # name, fleet, element, width and height of the window, scheme
    ("report", "three", None, (1280, 1180), "light"),
    ("report-dark", "three", None, (1280, 1180), "dark"),
    ("report-telephone", "three", None, (360, 740), "light"),
    ("report-paths", "three", "#paths", (1280, 900), "light"),
    ("report-300-addresses", "many", "#addresses", (1280, 900), "light"),
    ("report-300-peers", "many", "#peers", (1280, 480), "light"),
    ("report-300-paths", "many", "#paths", (1280, 900), "dark"),
]


def main() -> None:
    """Make the pages, and take a picture of each part that the documents show."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ["XDG_STATE_HOME"] = folder
        # Always of the same time: what did not change gives the same picture.
        made = datetime(2026, 1, 2, 3, 5, tzinfo=UTC)
        three, many = (
            replace(report, made=made)
            for report in (pictured.measured(Path(folder) / "three"), pictured.many(Path(folder) / "many"))
        )
        for name, report in (("three", three), ("many", many)):
            (Path(folder) / f"{name}.html").write_text(page.render(report), encoding="utf-8")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, fleet, element, (width, height), scheme in SHOTS:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            shown = context.new_page()
            shown.goto((Path(folder) / f"{fleet}.html").as_uri())
            path = IMAGES / f"{name}.png"
            if element:
                shown.evaluate(f"document.querySelector('{element}').scrollIntoView({{behavior: 'instant'}})")
            shown.screenshot(path=path)
        browser.close()
    for name, drawing in svg.names(diagrams.of(three)):
        if name == "path-prod-madrid.svg":
            (IMAGES / name).write_text(svg.document(drawing), encoding="utf-8")


if __name__ == "__main__":
    main()
