"""The drawings, and what they are drawn as: SVG, Mermaid, a page and Markdown."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pictured
import pytest

from mignet.report import Report
from mignet.report.rendering import diagrams, markdown, mermaid, page, palette, svg

EVIL = "</title><script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


@pytest.fixture(autouse=True)
def nothing_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return pictured.three(tmp_path_factory.mktemp("three") / "p")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return pictured.many(tmp_path_factory.mktemp("many") / "p")


@pytest.fixture(params=["three", "many"])
def report(request: pytest.FixtureRequest) -> Report:
    found: Report = request.getfixturevalue(request.param)
    return found


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), palette.TEXT_ON)
def test_every_text_has_enough_contrast_to_what_it_stands_on(scheme: dict[str, str], text: str, ground: str) -> None:
    assert contrast(scheme[text], scheme[ground]) >= 4.5


@pytest.mark.parametrize("scheme", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_lines_and_leases_are_told_from_what_they_stand_on(scheme: dict[str, str]) -> None:
    for tone in ("good", "warn", "bad", "idle"):
        assert contrast(scheme[f"{tone}-line"], scheme["ground"]) >= 3
    for area in ("slice", "slice-odd"):
        assert contrast(scheme["leased"], scheme[area]) >= 2.5


def test_light_and_dark_name_the_same_colours() -> None:
    assert palette.LIGHT.keys() == palette.DARK.keys()


def test_a_picture_is_well_formed_has_words_and_asks_for_nothing(report: Report) -> None:
    drawn = diagrams.of(report)
    assert len({name for name, _ in svg.names(drawn)}) == len(drawn)
    for drawing in drawn:
        root = ET.fromstring(svg.document(drawing))
        space = "{http://www.w3.org/2000/svg}"
        assert root.findtext(f"{space}title") == drawing.title
        assert root.findtext(f"{space}desc")
        ids = [each.get("id") for each in root.iter() if each.get("id")]
        assert set((root.get("aria-labelledby") or "").split()) == set(ids)
        assert len(ids) == len(set(ids))
        for each in root.iter():
            assert not {"href", "src", "style", "onload"} & {key.rpartition("}")[2] for key in each.attrib}
        assert "url(" not in svg.document(drawing)


def test_every_box_of_a_picture_is_inside_of_it(report: Report) -> None:
    for drawing in diagrams.of(report):
        root = ET.fromstring(svg.document(drawing))
        _, _, wide, high = map(float, (root.get("viewBox") or "").split())
        for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
            x, y, width, height = (float(rect.get(key, "0")) for key in ("x", "y", "width", "height"))
            assert 0 <= x <= x + width <= wide + 1, (drawing.name, rect.attrib)
            assert 0 <= y <= y + height <= high + 1, (drawing.name, rect.attrib)


def test_slices_leases_and_forecast_stand_where_their_addresses_are(three: Report) -> None:
    strip = diagrams.strip(1, three.books[0])
    areas = {area.label: area for area in strip.areas if area.kind in {"slice", "slice-odd"}}
    berlin = areas["prod-berlin"]
    # The first usable address is .1, and the slice begins at .16.
    assert (berlin.first, berlin.last, berlin.leased, berlin.needed) == (15, 78, ((15, 19),), 7)
    assert sum(area.last - area.first + 1 for area in strip.areas) == strip.size == 254


def test_a_large_subnet_shows_what_is_occupied_and_says_how_much_more_is_free(many: Report) -> None:
    strip = diagrams.strip(1, many.books[0])
    assert strip.size + strip.beyond == 65534
    assert strip.size < 20_000
    assert strip.prefix == "site-"
    assert len([area for area in strip.areas if area.kind in {"slice", "slice-odd"}]) == 300


def test_of_many_clusters_those_alike_share_a_drawing_and_none_is_lost(many: Report) -> None:
    drawn = diagrams.chains(many.paths)
    assert len(drawn) <= 12
    alike = sum(int(each.title.split()[0]) for each in drawn if " alike: " in each.title)
    assert alike + sum(" alike: " not in each.title for each in drawn) == 300
    tones = [each.tone for each in drawn]
    assert tones == sorted(tones, key=["bad", "warn", "idle", "good"].index)


def test_a_sign_stands_beside_every_colour(three: Report) -> None:
    for each in diagrams.chains(three.paths):
        for box in (box for chain in each.chains for box in chain.boxes):
            assert f">{box.sign}</tspan>" in svg.document(each)
    assert mermaid.draw(diagrams.chains(three.paths)[0]).count("✕") == 1


def test_mermaid_names_every_node_that_an_arrow_leads_to(report: Report) -> None:
    for drawing in diagrams.of(report):
        text = mermaid.draw(drawing)
        assert text.startswith("```mermaid\nflowchart ")
        defined = set(re.findall(r"^ +(\w+)\[\"", text, re.MULTILINE))
        arrows = [line for line in text.splitlines() if re.search(r"--|-\.-", line) and "[" not in line]
        used = set(
            itertools.chain.from_iterable(
                re.findall(r"\b[nac]\d+(?:_\d+)?\b", re.sub(r'"[^"]*"', "", each)) for each in arrows
            )
        )
        assert used <= defined
        # A code host refuses more.
        assert len(text) < 50_000
        assert len(arrows) < 500


def test_mermaid_puts_sound_slices_in_a_row_together_and_shows_those_with_trouble(many: Report) -> None:
    text = mermaid.draw(diagrams.strip(1, many.books[0]))
    rows = [int(number) for number in re.findall(r"\[\"(\d+) slices: ", text)]
    full = re.findall(r"\[\"✕ (site-\d+)<br/>", text)
    assert full == ["site-055", "site-143", "site-231"]
    assert sum(rows) + len(full) == 300
    assert text.count('["') < 15


def test_mermaid_takes_no_text_for_markup() -> None:
    text = mermaid.quoted(f'{EVIL} ]:::bad; click n "x" `a` #35;')
    assert re.fullmatch(r'"[^"<>&`;#]*(#\d+;[^"<>&`;#]*)*"', text)


def test_the_page_carries_the_hashes_of_its_style_and_its_script_and_forbids_all_else(three: Report) -> None:
    text = page.render(three)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://", re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL))
    assert " style=" not in text
    assert " onclick=" not in text


def test_a_page_of_300_clusters_stays_small(many: Report) -> None:
    text = page.render(many)
    assert len(text.encode()) < 1_000_000
    assert text.count("<tr data-find=") == 300


def test_a_comment_on_a_pull_request_of_300_clusters_fits(many: Report) -> None:
    # What the largest code host takes.
    assert len(markdown.render(many)) < 65_536


def test_markdown_has_the_drawings_and_what_is_found(three: Report) -> None:
    text = markdown.render(three)
    assert text.startswith("## ✕ Migration network: 1 error on 1 cluster")
    assert text.count("```mermaid") == 1 + 3 + 1
    assert "`pod-network-fallback`" in text
    assert "| prod-madrid | 10.200.5.80-10.200.5.143 | ✓ 5 of 64 leased; 7 needed" in text
    assert text.count("```") % 2 == 0


def test_no_text_from_a_file_or_a_cluster_becomes_markup(tmp_path: Path) -> None:
    own = {"cluster": {"context": EVIL, "nodes": 3}, "waivers": {"peer-gate": f"because {EVIL}"}}
    report = pictured.fleet(tmp_path / "p", {"one": "unreachable", "two": "gate", "three": "version"}, own=own)
    assert any("<script>" in str(each.finding) for each in report.findings)
    text = page.render(report)
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    for drawing in diagrams.of(report):
        ET.fromstring(svg.document(drawing))
        assert "<script" not in svg.document(drawing)
    assert "<script" not in markdown.render(report).replace("&lt;", "")


DERIVED = "as the clusters' objects say; nothing was measured between the nodes (mignet checkup does)"


@pytest.mark.parametrize(
    ("ailing", "asked", "tone", "text"),
    [
        ("", True, "good", f"Every cluster is on the network, and every path is ready, {DERIVED}"),
        ("", False, "idle", "The files agree with each other; no cluster was asked"),
        ("gate", True, "bad", "1 error on 1 cluster: migrations fail, or will"),
        ("version", True, "warn", "It works, with 1 warning"),
        ("cable", True, "warn", "It works, and the path of 1 cluster is doubtful"),
    ],
)
def test_the_first_line_says_whether_there_is_anything_to_do(
    tmp_path: Path, *, ailing: str, asked: bool, tone: str, text: str
) -> None:
    head = page.headline(pictured.fleet(tmp_path / "p", {"one": "", "two": ailing}, asked=asked))
    assert (head.tone, head.text) == (tone, text)
