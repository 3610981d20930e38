"""Each situation from public reports has its right answer in a test: this is the index.

A reference is `file::function`, the tests' folder left out; behind `#` stand words of the parameter that is the case,
as they are written in that file or in tests/fixtures/preflight_traps.py. The cases themselves are not part of the
project.
"""

from __future__ import annotations

import ast

import pytest
import yaml
from support import ROOT

CASES = ROOT.parent / "shared" / "public-cases.yaml"
REPORTED = "unit/mignet/checks/preflight/test_reported_node_networks.py::test_a_reported_network_gets_its_right_answer"
TRAP = "unit/mignet/checks/preflight/test_preflight.py::test_a_trap_gives_its_code_and_no_other"
FIT = "unit/mignet/checks/preflight/test_preflight.py::test_a_fit_cluster_gives_nothing"
PEERS = "unit/mignet/checks/test_peers.py::test_what_is_between_two_clusters_is_found_and_nothing_else"
MACHINE = "lab/test_verify_machine.py::"
ADOPTING = "lab/test_adopting.py::"

PROOF: dict[str, tuple[str, ...]] = {
    "localnet-verifies": ("lab/test_attachments.py::test_verify_drift_peers_and_report_work_for_each#localnet",),
    "infra-placement": (
        f"{FIT}#where the HyperConverged sends the sync controllers to workers",
        f"{TRAP}#Node dev-worker-1 NIC eth1 is missing; the sync controller may run there",
    ),
    "nics-inside-an-ovs-bond": (f"{REPORTED}#nics-inside-an-ovs-bond",),
    "bridge-with-only-ovn-s-patch-port": (
        f"{REPORTED}#bridge-with-only-ovn-s-patch-port",
        f"{REPORTED}#bridge-with-a-bond-that-is-gone",
    ),
    "cudn-owns-the-nad": (
        f"{TRAP}#which writes its content back: it cannot be adopted",
        f"{ADOPTING}test_an_attachment_that_a_controller_keeps_cannot_be_adopted",
    ),
    "host-local-flat": (f"{TRAP}#hands out 10.200.5.20-10.200.5.40,",),
    "static-address-in-the-slice": (f"{TRAP}#hands out 10.200.5.11, which overlaps",),
    "macvlan-on-br-ex": (f"{REPORTED}#macvlan-on-br-ex",),
    "macvlan-on-a-linux-bridge": (f"{REPORTED}#macvlan-on-a-linux-bridge",),
    "bridge-tags-twice": (f"{REPORTED}#bridge-tags-twice",),
    "vlan-above-the-default-route": (
        f"{REPORTED}#vlan-above-the-default-route",
        "unit/mignet/checks/preflight/test_reported_node_networks.py::test_init_does_not_recommend_a_vlan_above_the_bond_of_br_ex",
        "unit/docs/test_rules.py::test_an_example_gives_its_code_and_no_other",
    ),
    "localnet-on-br-ex": (f"{REPORTED}#localnet-on-br-ex",),
    "uplink-takes-host-addresses": (
        "unit/mignet/checks/preflight/test_reported_node_networks.py::test_uplink_takes_host_addresses",
        "lab/test_guards.py::test_an_uplink_that_takes_the_nodes_addresses_is_refused",
    ),
    "hosts-in-the-segment": (
        f"{FIT}#hosts in the segment, beside the slice",
        f"{TRAP}#holds 10.200.5.11, which eth1 of node dev-worker-1 has",
    ),
    "ipv6-first": (
        "unit/config/rules/test_fleet_rules.py::test_ipv6_first_is_told_that_migrations_use_ipv4",
        "unit/config/rules/test_fleet_rules.py::test_clusters_that_list_the_families_in_another_order_meet_all_the_same",
        "lab/test_attachments.py::test_with_ipv6_first_migrations_use_ipv4_all_the_same",
    ),
    "exclude-spares-the-hosts": (
        f"{FIT}#hosts whose addresses are excluded",
        f"{FIT}#excludes that keep two attachments of one range apart",
    ),
    "small-segment-without-peers": (f"{FIT}#a small segment without other clusters",),
    "jsonpatch-drops-the-network": (
        f"{TRAP}#jsonpatch-overrides",
        f"{ADOPTING}test_a_patch_of_the_operator_that_drops_what_is_declared_is_refused",
    ),
    "bond-options": (
        "unit/config/uplink/test_bond_options.py::test_what_nmstate_takes_goes_to_the_nodes_as_it_was_written",
        "unit/config/uplink/test_bond_options.py::test_what_nmstate_refuses_is_one_line_with_the_path_that_was_written",
    ),
    "bond-mode-under-a-bridge": (
        "unit/config/uplink/test_bond_options.py::test_a_mode_that_loses_frames_under_a_bridge_is_a_warning",
    ),
    "foreign-policy-declares-our-interface": (
        "unit/mignet/checks/preflight/test_reported_node_networks.py::test_foreign_policy_declares_our_interface",
    ),
    "golden-config-controller": (
        "unit/mignet/kube/kubevirt/test_field_writers.py::test_a_controller_that_applies_a_declared_field_is_named_with_its_own_way_out",
        "unit/mignet/kube/kubevirt/test_field_writers.py::test_one_that_owns_no_field_of_ours_is_no_matter",
        f"{ADOPTING}test_a_controller_that_writes_back_is_named_in_a_preview",
    ),
    "adopt-unnamed": (
        f"{ADOPTING}test_init_writes_a_stack_that_keeps_the_network_in_use",
        f"{ADOPTING}test_an_equal_attachment_changes_its_owner_labels_and_form_only",
        f"{ADOPTING}test_a_network_of_another_name_is_switched_with_a_warning",
    ),
    "vm-on-the-migration-network": (
        f"{TRAP}#VirtualMachineInstance shop/web is attached to migration",
        "lab/test_verify_traps.py::test_a_virtual_machine_on_the_network_is_named",
    ),
    "members-max-mtu": (f"{REPORTED}#members-max-mtu",),
    "restart-remedy": (
        "lab/test_verify.py::test_pods_that_keep_the_old_network_are_found_until_they_are_made_anew",
        "lab/test_verify.py::test_a_rollout_restart_makes_one_virt_handler_anew_and_no_sync_controller",
    ),
    "trust-in-one-direction": (
        f"{PEERS}#trusted_by_one",
        f"{PEERS}#rotated_since",
        f"{PEERS}#each_has_the_current_one",
        "unit/mignet/checks/test_peers.py::test_trust_in_one_direction_names_the_side_that_lacks_it",
    ),
    "failed-on-one-side-succeeded-on-the-other": (
        f"{PEERS}#in_two_places",
        f"{MACHINE}test_a_machine_that_runs_on_two_clusters_is_an_error_on_both_and_is_not_migrated",
    ),
    "open-migration": (
        f"{MACHINE}test_a_machine_that_is_migrating_is_not_migrated_again",
        f"{MACHINE}test_a_machine_that_is_to_arrive_is_not_migrated",
        f"{MACHINE}test_a_machine_that_does_not_run_is_not_migrated",
    ),
    "cap-too-low": (
        "unit/config/test_limits.py::test_a_gib_that_takes_longer_than_it_may_is_a_warning_with_the_bounds",
        "unit/config/test_limits.py::test_the_bound_is_1024_mib_by_the_seconds_and_the_remedies_are_its_least_values",
    ),
    "stale-sync-address": (f"{PEERS}#sync_stale",),
    "other-cpu": (f"{PEERS}#other_cpu", f"{PEERS}#older_cpu"),
}


@pytest.mark.skipif(not CASES.is_file(), reason="the collection of public cases is not beside the project")
def test_every_public_case_has_its_test() -> None:
    assert PROOF.keys() == {case["id"] for case in yaml.safe_load(CASES.read_text())}


@pytest.mark.parametrize("case", PROOF)
def test_the_tests_of_a_case_are_there(case: str) -> None:
    for reference in PROOF[case]:
        node, _, words = reference.partition("#")
        file, _, function = node.partition("::")
        text = (ROOT / "tests" / file).read_text()
        names = {each.name for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef)}
        assert function in names, node
        assert words in text + (ROOT / "tests/fixtures/preflight_traps.py").read_text(), reference
