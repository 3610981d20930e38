"""Which findings about clusters a stack may accept: judgements that exist, and no proof of broken traffic."""

import ast
from collections.abc import Iterator

import pytest
from support import ROOT

from config.finding import Finding, waived
from config.loading import WAIVABLE
from config.rules.fleet_rules import CODES as FLEET_CODES
from config.rules.stack_rules import CODES
from config.rules.waivable_codes import ALSO_LIVE, WAIVABLE_LIVE
from mignet.checks import drift_rules, limits, preflight, verify
from mignet.kube.diff import Report


def test_each_is_of_a_rule_that_looks_at_clusters() -> None:
    assert set() == WAIVABLE_LIVE - (preflight.CODES | verify.CODES | drift_rules.CODES)
    assert not WAIVABLE_LIVE & (CODES | FLEET_CODES)
    assert WAIVABLE_LIVE < WAIVABLE


def test_what_files_and_a_look_both_find_is_listed() -> None:
    """The waiver of such a code is not called unused where only the cluster knows better."""
    live = preflight.CODES | verify.CODES | drift_rules.CODES | limits.CODES
    assert (CODES | FLEET_CODES) & live == ALSO_LIVE


def errors_of_verify() -> Iterator[str]:
    """Yield the codes of the errors that verify's own modules find: each is a proof."""
    for path in (ROOT / "mignet" / "checks" / "verify").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            decorators = [each for each in function.decorator_list if isinstance(each, ast.Call)]
            ruled = next((each for each in decorators if ast.unparse(each.func) == "rule"), None)
            if ruled and ruled.keywords:
                continue  # a severity of its own
            for call in ast.walk(function):
                if not isinstance(call, ast.Call) or ast.unparse(call.func) not in {"Finding", "Pending"}:
                    continue
                given = {each.arg: each.value for each in call.keywords}
                named = given.get("code") or (call.args[0] if ast.unparse(call.func) == "Pending" else None)
                if "severity" not in given:
                    for each in [named] if named else ruled.args[:1] if ruled else []:
                        if isinstance(each, ast.Constant):
                            yield str(each.value)


def test_no_proof_of_broken_traffic_can_be_waived() -> None:
    proofs = set(errors_of_verify())
    assert {"pod-network-fallback", "address-duplicate", "rollout-unfinished", "vm-other-network"} <= proofs
    assert not proofs & WAIVABLE_LIVE


def test_what_up_would_change_cannot_be_waived_either() -> None:
    assert not drift_rules.SHOWN_AS_FIELDS & WAIVABLE_LIVE


@pytest.mark.parametrize(("name", "reason"), [("a", "known"), ("b", "known"), ("c", None)])
def test_a_finding_between_two_stacks_is_waived_by_either(name: str, reason: str | None) -> None:
    finding = Finding(
        "peer b", None, "could not be asked", "Ask it", code="peer-unread", severity="warning", stack="a", peer="b"
    )
    (found,) = waived(name, [finding], {"peer-unread": "known"})
    assert found.waived == reason
    assert Report("a", "drift", "direct", findings=(found,)).drifted is (reason is None)
