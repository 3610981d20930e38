"""The index of traps: docs/traps.md names them, and here stands the test that sets each, and what comes out.

A row of the document names the codes that close it. A code of `check` is set by its example in rules-examples.yaml, and
the catalogue's test holds that it comes out alone; one of preflight, verify or drift by a test on the lab that demands
exactly that code. Rows that are closed by what the program does, and not by a finding, name the test that proves it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import diagnosed
import pytest
from support import ROOT

from mignet.checks import drift_rules, migrations, preflight, verify

Verb = Literal["check", "preflight", "up", "verify", "drift", "migrations"]

CHECK = "tests/unit/docs/test_rules.py::test_an_example_gives_its_code_and_no_other"
PREFLIGHT = "tests/lab/test_preflight_lab.py::"
TRAP = f"{PREFLIGHT}test_a_trap_on_a_cluster_gives_its_code_and_no_other"
VERIFY = "tests/lab/test_verify.py::"
POD = f"{VERIFY}test_a_pod_that_is_wrong_is_found"
LATE = f"{VERIFY}test_what_is_not_done_in_time_says_where_it_stopped"
PROVE = "tests/lab/test_verify_traps.py::"
MACHINE = "tests/lab/test_verify_machine.py::"
DRIFT = "tests/lab/test_drift.py::"
ONE = f"{DRIFT}test_each_trap_is_one_finding_and_what_is_ours_is_repaired"
VERSIONS = "tests/unit/mignet/kube/test_hyperconverged_versions.py::"
GUARD = "tests/lab/test_guards.py::"
UPLINK = "tests/lab/test_uplink_rollout.py::"


BY_PREFLIGHT = {
    "right-missing": (
        "tests/lab/test_rights.py::test_the_role_that_observes_is_enough_to_look_and_what_up_takes_is_named"
    ),
    "multus-missing": f"{PREFLIGHT}test_without_multus_there_is_one_finding",
    "nmstate-missing": f"{PREFLIGHT}test_without_nmstate_it_is_said_once_and_counts_where_an_uplink_is_declared",
    "api-version-converted": f"{PREFLIGHT}test_a_version_that_is_not_the_stored_one_is_mentioned",
    "limit-default": f"{PREFLIGHT}test_a_default_of_older_releases_is_said_to_be_rewritten",
    "post-copy-inert": f"{PREFLIGHT}test_post_copy_that_this_release_does_nothing_with_is_a_warning",
    "limit-owned": f"{PREFLIGHT}test_a_limit_of_somebody_else_is_refused_where_the_stack_says_so",
    "limit-taken": f"{PREFLIGHT}test_a_limit_of_somebody_else_is_shown_before_it_is_taken",
    "hyperconverged-refuses": f"{PREFLIGHT}test_a_field_that_the_release_does_not_know_is_refused",
    "policy-foreign": f"{PREFLIGHT}test_a_policy_of_somebody_else_is_refused",
    "network-switched": f"{PREFLIGHT}test_a_network_of_another_name_is_said_to_be_switched",
    "field-written-back": f"{PREFLIGHT}test_a_controller_that_declares_a_limit_writes_it_back",
}
"""Those that are not set by an edit in tests/fixtures/preflight_traps.py, or not only."""

BY_VERIFY = {
    "pod-network-fallback": f"{POD}[handler-on-pod-network-",
    "pod-crashes": f"{POD}[handler-without-address-",
    "pod-no-network": f"{POD}[handler-stuck-",
    "mtu-differs": f"{POD}[handler-mtu-",
    "address-outside": f"{POD}[handler-outside-slice-",
    "address-duplicate": f"{POD}[handler-duplicate-",
    "rollout-unfinished": f"{LATE}[handler-held-",
    "operator-asleep": f"{LATE}[operator-asleep-",
    "workload-not-annotated": f"{LATE}[annotation-missing-",
    "address-duplicate-peer": (f"{VERIFY}test_an_address_of_a_peer_is_found_whether_the_peer_is_verified_or_only_read"),
    "peer-unread": f"{VERIFY}test_a_peer_that_cannot_be_reached_is_a_warning",
    "attachment-gone": f"{VERIFY}test_an_attachment_that_is_gone_ends_the_waiting_at_once",
    "attachment-invalid": f"{VERIFY}test_an_attachment_that_is_no_cni_configuration_is_found",
    "declared-differs": f"{VERIFY}test_an_object_that_holds_something_else_is_found",
    "declared-missing": f"{VERIFY}test_a_hyperconverged_that_is_gone_is_found",
    "pods-keep-old-network": f"{VERIFY}test_pods_that_keep_the_old_network_are_found_until_they_are_made_anew",
    "node-without-handler": f"{VERIFY}test_a_node_without_a_handler_is_found",
    "pool-full": f"{VERIFY}test_a_full_pool_ends_the_waiting",
    "lease-leaked": f"{VERIFY}test_a_leaked_lease_is_found_and_one_of_a_pod_that_lives_is_none",
    "pool-runs-out": f"{VERIFY}test_a_rollout_that_has_no_address_left_is_told_before_it_comes",
    "lease-outside": f"{VERIFY}test_a_lease_outside_of_the_slice_is_found",
    "pool-missing": f"{VERIFY}test_a_pool_of_another_name_is_found",
    "reservation-stray": f"{VERIFY}test_a_reservation_that_no_lease_has_is_found",
    "settings-not-taken": f"{VERIFY}test_a_kubevirt_that_somebody_edits_while_the_operator_sleeps_is_found",
    "workload-missing": f"{VERIFY}test_a_workload_that_is_not_there_is_found",
    "operator-degraded": (f"{VERIFY}test_an_operator_that_is_degraded_is_a_warning_when_the_pods_prove_the_network"),
    "address-missing": f"{PROVE}test_a_pod_whose_migration0_has_only_a_link_local_address_is_found",
    "vm-attached": f"{PROVE}test_a_virtual_machine_on_the_network_is_named",
    "address-reserved": f"{PROVE}test_the_gateways_address_on_a_pod_is_found",
    "mtu-unreported": f"{PROVE}test_a_plugin_that_reports_no_mtu_is_information",
    "pod-not-starting": f"{PROVE}test_what_else_keeps_a_pod_from_starting_is_told_in_its_own_words",
    "uplink-failing": f"{PROVE}test_an_uplink_that_a_node_refuses_is_why_the_pods_do_not_come",
    "vm-migrating": f"{PROVE}test_the_last_migration_of_a_user_is_judged_as_far_as_it_went[migration-hangs-",
    "vm-migration-failed": f"{PROVE}test_the_last_migration_of_a_user_is_judged_as_far_as_it_went[migration-fails-",
    "vm-other-network": (
        f"{MACHINE}test_a_migration_that_does_not_go_over_the_network_says_why[migration-on-pod-network-"
    ),
    "migration-failed": f"{MACHINE}test_a_migration_that_does_not_go_over_the_network_says_why[migration-fails-",
    "migration-unfinished": f"{MACHINE}test_a_migration_that_does_not_go_over_the_network_says_why[migration-hangs-",
    "vm-not-migratable": f"{MACHINE}test_a_machine_that_cannot_migrate_is_not_migrated",
    "vm-before-network": f"{MACHINE}test_the_last_migration_of_a_machine_is_judged_as_it_stands",
    "vm-never-migrated": f"{MACHINE}test_a_machine_that_never_migrated_or_is_not_there_is_said",
    "vm-left": f"{MACHINE}test_a_machine_that_has_left_is_never_to_be_migrated_from_here",
    "vm-runs-twice": f"{MACHINE}test_a_machine_that_runs_on_two_clusters_is_an_error_on_both_and_is_not_migrated",
    "vm-not-running": f"{MACHINE}test_a_machine_that_does_not_run_is_not_migrated",
    "migration-refused": f"{MACHINE}test_what_the_api_refuses_is_told_with_what_to_do",
    "vm-missing": f"{MACHINE}test_a_machine_that_never_migrated_or_is_not_there_is_said",
}

BY_DRIFT = {
    "field-changed": f"{ONE}[changed-",
    "field-taken": f"{ONE}[taken-",
    "network-elsewhere": f"{ONE}[elsewhere-",
    "object-missing": f"{ONE}[missing-",
    "object-left-over": f"{ONE}[left_over-",
    "field-co-owned": f"{ONE}[co_owned-",
    "settings-not-taken": f"{ONE}[edited_kubevirt-",
    "operator-degraded": f"{ONE}[degraded-",
    # Two minutes have to pass, which no lab can make them do.
    "operator-asleep": (
        "tests/unit/mignet/checks/test_drift_rules.py::test_an_operator_is_asleep_that_has_not_looked_for_minutes[late]"
    ),
    "object-recreated": (f"{DRIFT}test_an_object_made_anew_by_hand_is_one_finding_and_is_taken_over_with_consent_only"),
    "object-relabelled": f"{DRIFT}test_an_object_that_names_another_stack_is_one_finding_and_stays",
    "foreign-metadata": f"{DRIFT}test_what_others_add_to_our_object_is_information_and_no_drift",
    "not-applied": f"{DRIFT}test_a_stack_file_that_was_edited_is_told_from_a_cluster_that_was",
    "pods-keep-old-network": f"{DRIFT}test_handlers_that_keep_an_edited_network_are_what_a_repair_leaves",
    "list-extended": f"{DRIFT}test_an_item_that_somebody_appended_to_a_list_is_seen",
    "object-extended": f"{DRIFT}test_a_field_that_somebody_added_beside_the_declared_ones_is_seen",
    "policy-degraded": f"{DRIFT}test_a_policy_that_nodes_refused_is_seen",
}

BY_UP = {
    "A field at the path of another API version is dropped, and the write succeeds": (
        f"{GUARD}test_a_field_that_this_release_does_not_know_is_refused",
        "tests/lab/test_strict.py::test_every_object_is_accepted_unchanged",
    ),
    "Somebody else owns the defaults: the first apply conflicts": (
        f"{GUARD}test_a_conflict_fails_when_the_stack_says_so",
    ),
    "A field was written through the other API version: its owner stands at another path": (
        f"{VERSIONS}test_a_field_written_in_the_other_version_has_its_owner",
        f"{VERSIONS}test_a_conflict_with_a_writer_of_the_other_version_has_the_stacks_path",
    ),
    "A HyperConverged that others upgraded does not convert to the version that the stack names": (
        f"{VERSIONS}test_an_object_that_does_not_convert_names_the_field_and_the_way_out",
    ),
    "A controller declares the same field, and writes it back after every apply": (
        "tests/lab/test_drift_fix.py::test_a_repair_ends_no_edit_war_and_says_who_won",
    ),
    "A HyperConverged of another name, or a created one, does nothing": (
        f"{GUARD}test_a_missing_hyperconverged_is_named_and_never_created",
        f"{GUARD}test_a_missing_namespace_is_named",
    ),
    "A changed attachment rolls nothing": (
        "tests/lab/test_rollout.py::test_a_change_in_place_warns_that_running_virt_handlers_keep_the_old_network",
    ),
    "A MigrationPolicy changes some virtual machines' limits without a word in the HyperConverged": (
        "tests/lab/test_limits.py::test_the_closest_policy_wins_and_the_others_keep_what_the_stack_says",
    ),
    "With a new name, the old attachment goes while handlers still roll": (
        "tests/lab/test_moving_handlers.py::test_the_old_attachment_outlives_every_pod_that_asks_for_it",
    ),
    "`netAttachDefName` that is not the object's own name": (
        "tests/lab/test_rollout.py::test_a_renamed_localnet_names_itself",
    ),
    "Deleting a policy leaves its interfaces on the nodes": (
        f"{UPLINK}test_a_destroy_takes_the_interfaces_off_the_nodes_before_the_policies_go",
        f"{UPLINK}test_another_interface_comes_before_the_old_one_goes",
    ),
    "Changing a policy that is under way is undefined": (
        f"{UPLINK}test_plain_pulumi_changes_no_policy_that_is_being_rolled_out",
    ),
    "Conditions speak of the old content, or of no node at all": (
        f"{UPLINK}test_conditions_of_an_older_generation_are_not_believed",
        f"{UPLINK}test_a_selector_that_selects_no_node_is_named",
    ),
    "The attachment is there before the uplink": (
        f"{UPLINK}test_nothing_stands_on_an_uplink_that_a_node_refused_and_the_reason_is_shown",
    ),
}
"""What the program does rather than finds, by the trap as the document words it."""


BY_MIGRATIONS = dict.fromkeys(migrations.CODES, "tests/lab/test_migrations.py::test_what_is_stuck_says_why")
"""A test there demands that each code has a scenario."""

LOOKS: tuple[tuple[Verb, dict[str, str]], ...] = (
    ("preflight", BY_PREFLIGHT),
    ("verify", BY_VERIFY),
    ("drift", BY_DRIFT),
    ("migrations", BY_MIGRATIONS),
)


@dataclass(frozen=True)
class Row:
    """A trap of the document, and the codes that close it there."""

    trap: str
    codes: tuple[str, ...]
    is_open: bool

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", self.trap)[:60]


def rows() -> Iterator[Row]:
    for line in (ROOT / "docs" / "traps.md").read_text().splitlines():
        if line.startswith("| ") and line != "| trap | closed by |":
            trap, closing = line.strip("| ").split(" | ")
            codes = tuple(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", closing))
            yield Row(trap, codes, closing.startswith("open"))


ROWS = tuple(rows())


def proofs(row: Row) -> Iterator[tuple[Verb, str]]:
    """Yield what closes a trap: the verb, and the test in which it comes out."""
    yield from (("up", test) for test in BY_UP.get(row.trap, ()))
    for code in row.codes:
        found: list[tuple[Verb, str]] = [(verb, tests[code]) for verb, tests in LOOKS if code in tests]
        if code in preflight.CODES and code not in BY_PREFLIGHT:
            found.append(("preflight", f"{TRAP}[{code}-"))
        yield from found or [("check", f"{CHECK}[{code}")]


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """Every test that pytest finds in the files that are named here."""
    named = {test.partition("::")[0] for row in ROWS for _, test in proofs(row)}
    named |= {test.partition("::")[0] for _, tests in LOOKS for test in tests.values()}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", *sorted(named)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def is_collected(test: str, collected: list[str]) -> bool:
    """Tell whether a test is there; a name that ends within its parameters stands for all that begin so."""
    return any(each == test or each.startswith(f"{test}[" if "[" not in test else test) for each in collected)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_trap_of_the_document_is_set_by_a_test(row: Row, collected: list[str]) -> None:
    found = list(proofs(row))
    assert found or row.is_open, "a row that nothing proves says that it is open"
    assert [test for _, test in found if not is_collected(test, collected)] == []


def test_every_code_that_a_look_at_a_cluster_finds_is_set_by_a_test(collected: list[str]) -> None:
    by_edit = {code for code in preflight.CODES if is_collected(f"{TRAP}[{code}-", collected)}
    assert preflight.CODES - by_edit <= BY_PREFLIGHT.keys() <= preflight.CODES
    assert BY_VERIFY.keys() == verify.CODES
    assert BY_DRIFT.keys() == drift_rules.CODES
    named = {test for tests in (BY_PREFLIGHT, BY_VERIFY, BY_DRIFT) for test in tests.values()}
    assert [test for test in sorted(named) if not is_collected(test, collected)] == []


def test_what_the_program_does_is_about_a_trap_of_the_document() -> None:
    assert BY_UP.keys() <= {row.trap for row in ROWS}
    assert len(ROWS) > 60


BY_DIAGNOSE = {
    *("field-changed", "field-taken", "network-elsewhere", "object-missing", "object-left-over", "field-co-owned"),
    *("object-recreated", "object-relabelled", "foreign-metadata", "not-applied", "object-extended", "list-extended"),
    *("limit-unmanaged", "pool-shared", "policy-degraded"),
}
"""Codes whose traps are diagnosed where operators are at work."""
LIVE = preflight.CODES | verify.CODES | drift_rules.CODES
"""The codes of what the lab can set on a cluster."""


def is_diagnosed(code: str) -> bool:
    """Tell whether the test that sets a trap, or what it calls in its file, demands what a diagnosis of it says."""
    if code in BY_DIAGNOSE:
        files = (ROOT / "tests" / "lab" / f"test_{each}.py" for each in ("diagnose", "verify_traps"))
        return any(f'"{code}"' in each.read_text() for each in files)
    tests = [by[code] for by in (BY_PREFLIGHT, BY_VERIFY, BY_DRIFT) if code in by] or [TRAP]
    return any(_asks(test) for test in tests)


def _asks(test: str) -> bool:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    bodies = {each.name: ast.unparse(each) for each in tree.body if isinstance(each, ast.FunctionDef)}
    asking = [each for each, body in bodies.items() if "diagnosed." in body]
    body = bodies[name.partition("[")[0]]
    return "diagnosed." in body or any(re.search(rf"\b{each}\(", body) for each in asking)


def test_a_diagnosis_begins_with_the_right_cause_of_nine_traps_in_ten() -> None:
    wrong = {code for code in LIVE if not is_diagnosed(code)} | diagnosed.EXCEPTIONS.keys()
    rows = [row for row in ROWS if LIVE & {*row.codes}]
    wrong_rows = [row for row in rows if wrong & {*row.codes}]
    assert wrong <= LIVE >= diagnosed.OTHERWISE.keys()
    assert len(wrong) * 10 <= len(LIVE), wrong
    assert len(wrong_rows) * 10 <= len(rows), wrong_rows
