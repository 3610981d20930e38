"""Label selectors of Kubernetes: which labels one matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def matches(selector: Mapping[str, Any], labels: Mapping[str, str], *, unknown: bool = False) -> bool:
    """Tell whether a selector, as the API has it, matches labels; an empty one matches all.

    With `unknown`, a condition on a label that is not there holds: there may be more labels than are known. Raises
    KeyError for an operator that Kubernetes does not have.

    >>> matches({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"})
    True
    >>> matches({"matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"})
    True
    >>> matches({"matchLabels": {"c": "1"}}, {"a": "1"}), matches({"matchLabels": {"c": "1"}}, {"a": "1"}, unknown=True)
    (False, True)
    """
    wanted = (selector.get("matchLabels") or {}).items()
    equal = ({"key": key, "operator": "In", "values": [value]} for key, value in wanted)
    for each in (*equal, *(selector.get("matchExpressions") or ())):
        key, values = each["key"], each.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[each["operator"]]
        if not (holds or (unknown and key not in labels)):
            return False
    return True
