"""How something stands: the word, the sign and the rank of each tone. Colour only comes on top of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from config.finding import Finding

Tone = Literal["good", "warn", "bad", "idle"]

SIGNS: dict[Tone, str] = {"good": "✓", "warn": "!", "bad": "✕", "idle": "○"}
WORDS: dict[Tone, str] = {"good": "healthy", "warn": "doubtful", "bad": "broken", "idle": "not seen"}
RANK: dict[Tone, int] = {"good": 0, "idle": 1, "warn": 2, "bad": 3}
"""Which of several counts: the highest."""


def of(finding: Finding) -> Tone:
    """Return how a finding leaves what it is about; what is waived or information only leaves it well."""
    if finding.waived is not None or finding.severity == "info":
        return "good"
    return "bad" if finding.severity == "error" else "warn"
