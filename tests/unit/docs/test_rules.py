"""The catalogue of rules: no code without an example, and every example gives its code and no other."""

import fnmatch
import re
import sys
from pathlib import Path

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "tools" / "docs"))

import catalogue

EXAMPLES = catalogue.examples()


def test_every_code_in_the_source_has_an_example() -> None:
    shown = {example.code for example in EXAMPLES}
    assert [code for code in catalogue.codes() if not fnmatch.filter(shown, code)] == [], "see rules-examples.yaml"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.code)
def test_an_example_gives_its_code_and_no_other(example: catalogue.Example, tmp_path: Path) -> None:
    findings = example.findings(tmp_path)
    assert {finding.code for finding in findings} == {example.code}, [str(finding) for finding in findings]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.code)
def test_a_finding_is_one_line_with_a_rule_and_a_remedy(example: catalogue.Example, tmp_path: Path) -> None:
    for finding in example.findings(tmp_path):
        assert re.fullmatch(r"[-_\w]+: \S[^\n]*\. [A-Z][^\n]*[^.]", str(finding)), str(finding)


def test_every_code_says_why() -> None:
    why = catalogue.codes()
    assert [example.code for example in EXAMPLES if not (example.why or why.get(example.code))] == []


def test_the_catalogue_is_what_the_code_says() -> None:
    assert (ROOT / "docs/rules.md").read_text() == catalogue.rules(), "run: python tools/docs/generate.py"
