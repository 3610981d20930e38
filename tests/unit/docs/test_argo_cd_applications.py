"""The guide's ApplicationSet makes the application that the guide shows, for each stack that it lists."""

from __future__ import annotations

import re
from typing import Any

import yaml
from support import ROOT

GUIDE = (ROOT / "docs/how-to/gitops-with-render.md").read_text()


def block(file: str) -> str:
    (found,) = re.findall(rf"^<!-- run: as {file} -->\n```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_it_makes_the_application_that_is_shown() -> None:
    of_fleet = yaml.safe_load(block("applicationset.yaml"))["spec"]
    (shown,) = yaml.safe_load_all(block("application.yaml"))
    # A rolling sync takes the place of the automated one.
    del shown["spec"]["syncPolicy"]["automated"]
    text = yaml.safe_dump(of_fleet["template"])
    (elements,) = (each["list"]["elements"] for each in of_fleet["generators"])
    made: dict[str, Any] = {}
    for element in elements:
        filled = re.sub(r"\{\{ \.(\w+) \}\}", lambda found, of=element: of[found[1]], text)  # type: ignore[misc]
        made[element["stack"]] = yaml.safe_load(filled)
    assert made["prod-1"]["metadata"].pop("labels") == {"wave": "canary"}
    assert made["prod-1"] == {key: shown[key] for key in ("metadata", "spec")}
    steps = of_fleet["strategy"]["rollingSync"]["steps"]
    waves = [value for step in steps for each in step["matchExpressions"] for value in each["values"]]
    assert sorted(waves) == sorted({element["wave"] for element in elements})
