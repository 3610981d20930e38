"""Troubleshooting: no code of a look at a cluster without a symptom, a reason and a way out, and nothing stale."""

import re
import sys

from support import ROOT

sys.path.insert(0, str(ROOT / "tools" / "docs"))

import troubleshooting

CODES = troubleshooting.codes()
ENTRIES = troubleshooting.symptoms()


def test_every_code_has_its_home_under_one_symptom_and_no_symptom_names_another() -> None:
    homes = [code for entry in ENTRIES for code in entry.get("codes", {})]
    assert set(CODES) - set(homes) == set(), "add them to tools/docs/symptoms.yaml"
    assert set(homes) - set(CODES) == set(), "no rule finds them any more"
    assert len(homes) == len(set(homes)), "one home each"


def test_every_code_says_why_and_the_way_out() -> None:
    said = {code: text or {} for entry in ENTRIES for code, text in entry.get("codes", {}).items()}
    assert [code for code, found in CODES.items() if not (found.why or said[code].get("why"))] == []
    assert [code for code, found in CODES.items() if not (found.ways_out or said[code].get("way-out"))] == []


def test_what_a_symptom_points_to_exists() -> None:
    rules = re.findall(r"^## (\S+)$", (ROOT / "docs/rules.md").read_text(), re.MULTILINE)
    also = {code for entry in ENTRIES for code in entry.get("also", [])}
    assert also - {*CODES, *rules} == set()


def test_the_document_is_what_the_code_says() -> None:
    fresh = troubleshooting.troubleshooting()
    assert (ROOT / "docs/troubleshooting.md").read_text() == fresh, "run: python tools/docs/generate.py"
