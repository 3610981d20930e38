"""The page of a report in a real browser: 3 and 300 clusters, three widths, light, dark, and paper."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pictured
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from config.files.project_files import Project
from mignet.checks.limits import Outcome, Value
from mignet.fleet.history import Drifted, Entry
from mignet.report import assemble, files_of
from mignet.report.collect import from_files
from mignet.report.drift_spans import Drifts, of
from mignet.report.rendering import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH (make browser)")

WIDTHS = [360, 1280, 2560]
FLEETS = ["three", "many"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Of this module alone: as long as it runs, nothing else in this process can have an event loop.
    with sync_playwright() as playwright:
        # Root has no sandbox of chromium's, and the page is our own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*arguments, "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        three, many = pictured.measured(folder / "three"), pictured.many(folder / "many")
    (folder / "three.html").write_text(
        page.render(replace(three, limits=limits(three.stacks), drift=drift(three.stacks, three.made)))
    )
    (folder / "many.html").write_text(page.render(many))
    return folder


def drift(stacks: tuple[str, ...], now: datetime) -> Drifts:
    """A cluster that drifts, one that was repaired, and one that could not be looked at."""

    def look(stack: str, days: int, found: Drifted | None) -> Entry:
        return Entry((now - timedelta(days=days)).isoformat(), "drift", stack, "looked", drift=found)

    clean, drifted = Drifted(0), Drifted(2, ("kubectl-edit",))
    looks = [look(stack, 20, clean) for stack in stacks]
    looks += [look(stacks[0], 9, drifted), look(stacks[1], 12, drifted), look(stacks[1], 7, clean)]
    looks.append(look(stacks[2], 3, None))
    up = Entry((now - timedelta(days=7, hours=1)).isoformat(), "drift --fix", stacks[1], "done", who="alice")
    return of(looks, [up], stacks, now)


def limits(stacks: tuple[str, ...]) -> dict[str, tuple[Outcome, ...]]:
    """Two clusters with three groups of virtual machines each, and a third one where none runs."""
    values = {"parallelOutboundMigrationsPerNode": 2, "completionTimeoutPerGiB": 800, "allowPostCopy": False}
    policies = (None, "databases-of-the-branch-offices", "remote-site")

    def of(policy: str | None) -> tuple[Value, ...]:
        own = {"completionTimeoutPerGiB": f"MigrationPolicy {policy} of this stack"} if policy else {}
        source = "HyperConverged, set by kubectl-client-side-apply"
        return tuple(Value(key, value, own.get(key, source)) for key, value in values.items())

    outcomes = tuple(
        Outcome(tuple(f"{policy or 'shop'}/web-{number}" for number in range(12)), of(policy), policy)
        for policy in policies
    )
    return {stacks[0]: outcomes, stacks[1]: outcomes, stacks[2]: ()}


class Open:
    """A page that is open, with what the browser said of it."""

    def __init__(self, browser: Browser, path: Path, **context: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())


@pytest.fixture
def open_page(browser: Browser, folder: Path) -> Iterator[Any]:
    opened: list[Open] = []

    def open_(fleet: str, *, width: int = 1280, **context: Any) -> Open:
        size = {"width": width, "height": 900}
        opened.append(Open(browser, folder / f"{fleet}.html", viewport=size, **context))
        return opened[-1]

    yield open_
    for each in opened:
        assert each.said == [], "nothing on the console, whatever a test does"
        assert [url for url in each.asked if not url.startswith("file:")] == []
        assert len(each.asked) == 1, "the page is one file"
        each.context.close()


OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth, out = [];
  for (const each of document.body.querySelectorAll('*')) {
    if (each.closest('.scroll') && !each.matches('.scroll')) continue;
    const box = each.getBoundingClientRect();
    if (box.width && box.right > wide + 1 && getComputedStyle(each).clipPath === 'none' && !each.closest('.skip'))
      out.push(`${each.tagName}.${each.className.baseVal ?? each.className} to ${box.right}`);
  }
  return [document.documentElement.scrollWidth - wide, out];
}"""


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_reaches_beyond_the_page_at_any_width(open_page: Any, fleet: str, width: int) -> None:
    opened = open_page(fleet, width=width)
    beyond, elements = opened.page.evaluate(OVERFLOW)
    assert (beyond, elements) == (0, [])
    assert opened.page.locator("h1").inner_text().startswith("✕")


@pytest.mark.parametrize(
    ("fleet", "scheme", "width"),
    [
        *(("three", scheme, width) for scheme in ("light", "dark") for width in (360, 1280)),
        # Many of the same elements take axe long, and tell it nothing more.
        ("many", "dark", 1280),
    ],
)
def test_axe_finds_nothing_that_keeps_anybody_out(open_page: Any, fleet: str, scheme: str, width: int) -> None:
    opened = open_page(fleet, width=width, color_scheme=scheme)
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found = Axe().run(opened.page, options=options)
    assert found.violations_count == 0, found.generate_report()


def test_light_and_dark_follow_the_reader(open_page: Any) -> None:
    grounds = {
        scheme: open_page("three", color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}


def focused(opened: Open) -> dict[str, Any]:
    script = """() => { const on = document.activeElement; return {
      role: on.getAttribute('role'), label: on.getAttribute('aria-label'), tag: on.tagName,
      cell: on.cellIndex, row: on.parentElement?.rowIndex, seen: on.matches(':focus-visible') } }"""
    found: dict[str, Any] = opened.page.evaluate(script)
    return found


@pytest.mark.parametrize("fleet", FLEETS)
def test_a_keyboard_reaches_every_cell_of_the_matrix_and_leaves_it_again(open_page: Any, fleet: str) -> None:
    opened = open_page(fleet)
    keys, grid = opened.page.keyboard, opened.page.locator("#peers .grid")
    for _ in range(200):
        keys.press("Tab")
        if focused(opened)["role"] == "gridcell":
            break
    count = grid.locator("tbody tr").count()
    assert focused(opened) | {"label": ""} == {
        "role": "gridcell",
        "label": "",
        "tag": "TD",
        "cell": 1,
        "row": 1,
        "seen": True,
    }
    reached = set()
    for row in range(count):
        keys.press("Home")
        for _ in range(count):
            here = focused(opened)
            assert here["label"]
            assert opened.page.locator("#peers .way").inner_text() == here["label"]
            reached.add((here["row"], here["cell"]))
            keys.press("ArrowRight")
        if row < count - 1:
            keys.press("ArrowDown")
    assert reached == {(row, cell) for row in range(1, count + 1) for cell in range(1, count + 1)}
    keys.press("Control+Home")
    assert (focused(opened)["row"], focused(opened)["cell"]) == (1, 1)
    assert grid.locator("[tabindex='0']").count() == 1
    keys.press("Tab")
    assert focused(opened)["role"] != "gridcell"


def test_a_cell_says_its_way_and_the_reason_against_it(open_page: Any) -> None:
    opened = open_page("many")
    cell = opened.page.get_by_role("gridcell", name="from nothing against them (292) to peer-gate (4): ")
    assert "does not list the feature gate" in (cell.get_attribute("aria-label") or "")
    cell.click()
    assert opened.page.locator("#peers .way").is_visible()


def test_every_region_picture_and_field_has_a_name(open_page: Any) -> None:
    opened = open_page("many")
    for section in opened.page.locator("main > section").all():
        name = section.get_attribute("aria-labelledby")
        assert opened.page.locator(f"#{name}").inner_text()
    assert opened.page.get_by_role("img", name="Addresses of 10.200.0.0/16").count() == 1, "the other is for telephones"
    assert opened.page.get_by_role("searchbox", name="Find").is_visible()
    assert opened.page.get_by_role("navigation", name="Sections").is_visible()
    opened.page.keyboard.press("Tab")
    assert opened.page.get_by_role("link", name="Skip to the report").evaluate("on => on === document.activeElement")


def test_of_300_clusters_those_with_trouble_are_listed_and_any_is_found_by_name(open_page: Any) -> None:
    opened = open_page("many")
    rows = opened.page.locator(".clusters tbody tr:visible")
    troubled = opened.page.locator(".clusters tbody tr[data-tone=bad], .clusters tbody tr[data-tone=warn]").count()
    assert 0 < rows.count() == troubled < 60
    opened.page.get_by_role("searchbox", name="Find").fill("site-12")
    assert rows.count() == 10
    assert opened.page.locator("output").inner_text() == "10 of 300 clusters"
    opened.page.get_by_role("searchbox", name="Find").fill("")
    opened.page.get_by_role("checkbox").uncheck()
    assert rows.count() == 300


def test_without_scripts_everything_is_there(open_page: Any) -> None:
    opened = open_page("many", java_script_enabled=False)
    assert opened.page.locator(".clusters tbody tr:visible").count() == 300
    assert not opened.page.locator(".filter").is_visible()
    assert opened.page.locator("#peers td").first.is_visible()


@pytest.mark.parametrize("fleet", FLEETS)
def test_on_paper_it_is_light_whole_and_without_what_is_to_be_clicked(open_page: Any, fleet: str) -> None:
    opened = open_page(fleet, width=760, color_scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not opened.page.locator("nav").is_visible()
    assert not opened.page.locator(".filter").is_visible()
    assert opened.page.evaluate(OVERFLOW) == [0, []]
    paper = opened.page.pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF")


def test_the_last_checkup_is_a_matrix_of_its_own(open_page: Any) -> None:
    opened = open_page("three")
    cell = opened.page.locator("#checkup").get_by_role("gridcell", name="no answer")
    assert cell.count() == 1
    assert "prod-berlin/node-1" in (cell.get_attribute("aria-label") or "")


def test_files_alone_are_shown_as_such(browser: Browser, folder: Path) -> None:
    project = Project.find(folder / "three")
    names = ["prod-berlin", "prod-madrid", "prod-oslo"]
    files, stacks = files_of(project, names)
    report = assemble(project, names, files, [from_files(stack) for stack in stacks], asked=False)
    (folder / "files.html").write_text(page.render(report))
    opened = Open(browser, folder / "files.html")
    assert opened.page.locator("h1").inner_text().endswith("no cluster was asked")
    assert "no cluster was asked" in opened.page.locator("#unseen").inner_text()
    assert opened.page.locator(".path .box.good").count() == 0
    assert opened.said == []
    opened.context.close()
