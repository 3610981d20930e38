"""The colours of pages and pictures, for light and dark: each text has a contrast of at least 4.5 to its ground."""

from __future__ import annotations

LIGHT = {
    "ground": "#ffffff",
    "raised": "#f6f8fa",
    "text": "#1f2328",
    "quiet": "#57606a",
    "line": "#d0d7de",
    "link": "#0757b8",
    "good": "#116329",
    "good-ground": "#dafbe1",
    "good-line": "#1a7f37",
    "warn": "#6b4300",
    "warn-ground": "#fff8c5",
    "warn-line": "#9a6700",
    "bad": "#a40e26",
    "bad-ground": "#ffebe9",
    "bad-line": "#cf222e",
    "idle": "#57606a",
    "idle-ground": "#f6f8fa",
    "idle-line": "#8c959f",
    "slice": "#0969da",
    "slice-odd": "#0a3f87",
    "on-slice": "#ffffff",
    "free": "#eaeef2",
    "on-free": "#424a53",
    "reserved": "#8a5a00",
    "gateway": "#7a3fd0",
    "twice": "#cf222e",
    "leased": "#54d08a",
}
DARK = {
    "ground": "#0d1117",
    "raised": "#161b22",
    "text": "#e6edf3",
    "quiet": "#9da7b3",
    "line": "#3d444d",
    "link": "#6cb1ff",
    "good": "#7ee787",
    "good-ground": "#12261e",
    "good-line": "#3fb950",
    "warn": "#f2cc60",
    "warn-ground": "#2b2210",
    "warn-line": "#d29922",
    "bad": "#ffa198",
    "bad-ground": "#2d1517",
    "bad-line": "#f85149",
    "idle": "#9da7b3",
    "idle-ground": "#161b22",
    "idle-line": "#6e7681",
    "slice": "#1f5fd0",
    "slice-odd": "#123a7c",
    "on-slice": "#ffffff",
    "free": "#21262d",
    "on-free": "#c9d1d9",
    "reserved": "#7d5200",
    "gateway": "#6f3bc4",
    "twice": "#b62324",
    "leased": "#54d08a",
}
TEXT_ON = [
    ("text", "ground"),
    ("text", "raised"),
    ("quiet", "ground"),
    ("quiet", "raised"),
    ("link", "ground"),
    ("link", "raised"),
    *((tone, f"{tone}-ground") for tone in ("good", "warn", "bad", "idle")),
    *((tone, ground) for tone in ("good", "warn", "bad") for ground in ("ground", "raised")),
    *(("on-slice", area) for area in ("slice", "slice-odd", "reserved", "gateway", "twice")),
    ("on-free", "free"),
]
"""Every pair of a text's colour and the colour of what it stands on."""


def variables(selector: str) -> str:
    """Return the style sheet that sets every colour, in light and in dark; on paper it is light."""
    light, dark = (" ".join(f"--{name}: {colour};" for name, colour in scheme.items()) for scheme in (LIGHT, DARK))
    return (
        f"{selector} {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ {selector} {{ {dark} }} }}"
    )
