"""What no archive holds: secrets, in whatever string they stand, and what nobody reads and often has some."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

LEFT_OUT = "(left out)"
"""What stands for a secret."""

SHORTEST = 8
"""Characters of the shortest text that is searched."""

_SECRETS = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)"
    # A JSON Web Token, as service accounts have them; OpenShift's own tokens; those of code hosts, registries, clouds.
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"
    r"|\bsha256~[A-Za-z0-9_-]{20,}|\b(?:ghp|gho|ghs|ghu|github_pat|glpat|pul|xox[abprs])[-_][A-Za-z0-9_-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAGE-SECRET-KEY-1[A-Z0-9]{20,}"
    r"|(?<=://)[^/\s:@\"']+:[^/\s@\"']+(?=@)"
    r"|(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{8,}"
    # A line, or a member of a JSON text, that names a secret.
    r"|(?i:(?<=password)|(?<=passwd)|(?<=passphrase)|(?<=secret)|(?<=token)|(?<=api_key)|(?<=apikey)"
    r"|(?<=client-key-data)|(?<=encryptionsalt)|(?<=encryptedkey)|(?<=secure))"
    r"\\?[\"']?[ \t]*[:=][ \t]*(?![ \t\r\n])[^\s,}&;]+",
    re.DOTALL,
)
_KEYS = frozenset(
    {
        # Of cloud-init and Sysprep, in volumes of virtual machines; and what is put into guests.
        *("userData", "userDataBase64", "networkData", "networkDataBase64", "accessCredentials", "sysprep"),
        *("password", "token", "client-key-data", "client-certificate-data", "caKey", "tls.key"),
    }
)
"""Members that are left out whole, wherever they stand."""
_ANNOTATIONS = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
"""Annotations that hold an object as somebody wrote it once, with all that was in it."""


def scrubbed(value: Any) -> Any:
    """Return a value without secrets: strings are searched for them, and members that usually hold some are left out.

    Mappings and lists are gone through; the environment of a container keeps its names.
    """
    if isinstance(value, str):
        return scrubbed_text(value)
    if isinstance(value, list):
        return [scrubbed(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _member(key, each) for key, each in value.items() if key not in _ANNOTATIONS}


def scrubbed_text(text: str) -> str:
    """Return a text without what looks like a secret."""
    return text if len(text) < SHORTEST else _short(text) if len(text) < 200 else _SECRETS.sub(_instead, text)


@lru_cache(maxsize=1 << 16)
def _short(text: str) -> str:
    """Look through a short text, of which clusters hold the same again and again."""
    return _SECRETS.sub(_instead, text)


def _member(key: str, value: Any) -> Any:
    if key in _KEYS:
        return LEFT_OUT
    if key == "env" and isinstance(value, list):
        return [_named(each) for each in value]
    return scrubbed(value)


def _named(variable: Any) -> Any:
    """Return a variable of a container's environment without its value."""
    return variable | {"value": LEFT_OUT} if isinstance(variable, dict) and "value" in variable else scrubbed(variable)


def _instead(match: re.Match[str]) -> str:
    # What names a secret stays, with its sign and quotes.
    sign = re.match(r"\\?[\"']?[ \t]*[:=][ \t]*\\?[\"']?", match[0])
    end = re.search(r"\\?[\"']$", match[0]) if sign else None
    return (sign[0] if sign else "") + LEFT_OUT + (end[0] if end else "")
