"""Which findings follow from which: by their codes, the way from a cluster's API down to a migration.

A table, and nothing that looks at a cluster. It has no cycle, and a consequence's own consequences are the cause's too.
"""

from __future__ import annotations

from functools import cache

NOT_APPLIED = "stack-not-applied"

_NO_ACCESS = ("unreachable", "unauthorized", "kubeconfig", "other-cluster", "timed-out", "stopped", "not-started")
NO_ACCESS = frozenset(f"cluster-{each}" for each in _NO_ACCESS)
"""Of a cluster with one of these, nothing else is known: it explains all that is said of it."""

_DRIFT = {"field-changed", "network-elsewhere", "list-extended", "object-missing", "field-taken", "settings-not-taken"}
_ATTACHMENT = {"attachment-gone", "attachment-invalid", "object-missing", "declared-missing", "declared-differs"}
_WORKLOADS = {"workload-missing", "workload-not-annotated"}
_STUCK = {"pool-full", "pod-no-network", "pod-crashes", "pod-not-starting", "rollout-unfinished"}
_ADDRESSES = {"address-missing", "address-outside", "address-duplicate", "lease-outside", "pool-missing"}
_PODS = {*_ADDRESSES, "pod-network-fallback", "pods-keep-old-network", "mtu-differs", "node-without-handler"}
_SYNC = {"peer-sync-missing", "peer-sync-outside", "peer-sync-stale"}
_APART = {"migration-waits-for-sync", "migration-sync-failed", "migration-sync-address"}
_MOVES = {
    *{"vm-migration-failed", "migration-failed", "migration-unfinished", "vm-migrating", "vm-stays-behind"},
    *_APART,
}
_NO_PROBE = {"checkup-not-started", "checkup-no-result", "checkup-no-attachment", "checkup-no-address"}
_SILENCE = {"checkup-node-alone", "checkup-way-silent", "checkup-group-apart", "checkup-nobody", "peer-way-broken"}
_NO_API = {"cluster-not-served", "cluster-unfit", "cluster-refused"}
_NO_NIC = {*_STUCK, *_NO_PROBE, "uplink-failing", "policy-degraded"}
_NO_LINK = {*_SILENCE, *_MOVES, "checkup-link-down"}
_UPLINK = {"uplink-failing", "policy-degraded", *_STUCK}
_FOREIGN = {"object-recreated", "object-relabelled", "field-changed", "field-taken", "declared-differs"}
_TWICE = {"address-duplicate", "address-duplicate-peer", "peer-lease-twice", "lease-outside", "address-outside"}

FOLLOWS: dict[str, frozenset[str]] = {
    cause: frozenset(consequences)
    for cause, consequences in {
        # What is installed, and who may look.
        "cluster-shared": {*_DRIFT, "object-relabelled", "attachment-foreign", "policy-foreign", "field-co-owned"},
        "right-missing": {"cluster-forbidden", "peer-not-judged"},
        "cluster-forbidden": {"peer-not-judged"},
        "namespace-missing": {
            *{"hyperconverged-missing", "kubevirt-missing", "handlers-none", "peer-kubevirt"},
            *{*_NO_API, *_ATTACHMENT, *_WORKLOADS},
        },
        "hyperconverged-missing": {"kubevirt-missing", "gate-off", "declared-missing", "object-missing", *_NO_API},
        "kubevirt-missing": {
            *{"operator-asleep", "operator-degraded", "settings-not-taken", "gate-off", "peer-kubevirt", "peer-gate"},
            *{"peer-authority-missing", "handlers-none", *_WORKLOADS, *_NO_API},
        },
        "multus-missing": {*_ATTACHMENT, *_NO_API, *_STUCK, *_NO_PROBE, "pod-network-fallback"},
        "whereabouts-missing": {
            *{"reconciler-missing", "pool-missing", "address-missing", "checkup-no-address", "checkup-not-started"},
            *{*_STUCK, *_NO_API},
        },
        "nmstate-missing": {"node-state-missing", "object-missing", "declared-missing", *_UPLINK, *_NO_API},
        "migration-policy-unserved": {"object-missing", "declared-missing", *_NO_API},
        "api-version": {"api-version-converted", "hyperconverged-refuses", *_NO_API, "declared-missing", *_DRIFT},
        # What is declared, and what stands there instead.
        NOT_APPLIED: {
            *{"object-recreated", "object-relabelled", "workload-not-annotated"},
            *{"not-applied", "network-switched", "limit-taken", *_DRIFT, *_ATTACHMENT, *_STUCK, *_PODS},
            *{*_SYNC, *_NO_PROBE, "checkup-no-network", "vm-other-network", "peer-limits-differ"},
        },
        "jsonpatch-overrides": {"settings-not-taken", "declared-differs"},
        "field-written-back": {*_DRIFT, "declared-differs", "field-co-owned", "limit-owned", "limit-taken"},
        "attachment-foreign": _FOREIGN,
        "attachment-adopted": {"object-recreated", "object-relabelled", "field-taken"},
        "policy-foreign": _FOREIGN,
        "policy-adopted": {"object-recreated", "object-relabelled", "field-taken"},
        "object-recreated": {"field-changed", "field-taken", "declared-differs", "pods-keep-old-network"},
        "object-relabelled": {"field-changed", "field-taken", "declared-differs", "object-left-over"},
        "attachment-gone": {"object-missing", *_STUCK, *_NO_PROBE, "checkup-no-network", "pod-network-fallback"},
        "attachment-invalid": {"field-changed", "declared-differs", *_STUCK, *_NO_PROBE},
        "object-missing": {"declared-missing", "declared-differs", *_STUCK},
        "network-elsewhere": {
            *{"network-switched", "limit-taken", "declared-differs", "settings-not-taken", "pod-network-fallback"},
            *{"rollout-unfinished", "vm-other-network", *_SYNC, *_WORKLOADS},
        },
        "network-switched": {"limit-taken"},
        "network-policy-cuts": {"peer-policy-cuts", *_SILENCE, *_MOVES},
        "peer-policy-cuts": {*_SILENCE, *_MOVES},
        "field-changed": {
            *{"declared-differs", "settings-not-taken", "pods-keep-old-network", "limit-taken"},
            *{"peer-limits-differ", "mtu-differs", "address-outside", "lease-outside"},
            *{"pool-missing", "api-version-converted"},
        },
        "list-extended": {"declared-differs"},
        "not-applied": {"declared-differs", "declared-missing", "settings-not-taken", "peer-limits-differ"},
        "field-co-owned": {"field-taken", "limit-taken"},
        "field-taken": {"limit-taken"},
        "limit-owned": {"field-changed", "field-taken", "network-elsewhere", "field-co-owned"},
        # The operators, from the HyperConverged to the pods.
        "operator-asleep": {
            *{"operator-degraded", "settings-not-taken", "rollout-unfinished", "pod-network-fallback"},
            *{"pods-keep-old-network", *_WORKLOADS, *_SYNC},
        },
        "settings-not-taken": {
            *{"pod-network-fallback", "rollout-unfinished", "peer-limits-differ"},
            *{"vm-other-network", *_WORKLOADS, *_SYNC},
        },
        "gate-off": {"peer-gate", "peer-sync-missing", "workload-missing", "vm-stays-behind", *_APART},
        "workload-missing": {"rollout-unfinished", "node-without-handler", "operator-degraded", *_SYNC},
        "workload-not-annotated": {"rollout-unfinished", "pod-network-fallback", *_SYNC},
        "handlers-none": {"node-without-handler", "rollout-unfinished"},
        # The nodes and their uplinks.
        "node-state-missing": _UPLINK,
        "nic-single": {"nic-default-route", "default-route-shared"},
        "nic-missing": {"nic-mtu", "nic-down", *_NO_NIC, "checkup-link-down", *_SILENCE},
        "nic-type": _NO_NIC,
        "nic-enslaved": _NO_NIC,
        "nic-ipvlan-macvlan": _NO_NIC,
        "bridge-missing": {"bridge-without-nic", *_NO_NIC},
        "localnet-unmapped": {"bridge-without-nic", *_NO_NIC},
        "bridge-without-nic": _NO_LINK,
        "nic-down": {*_NO_LINK, "uplink-failing", "policy-degraded"},
        "nic-vlan": _NO_LINK,
        "nic-default-route": _UPLINK,
        "default-route-shared": _NO_LINK,
        "nic-mtu": {"mtu-differs", "checkup-path-mtu", *_NO_NIC, *_MOVES},
        "uplink-double-tag": _NO_LINK,
        "uplink-trunk": _NO_LINK,
        "uplink-bond-bridged": _NO_LINK,
        "uplink-host-address": _UPLINK,
        "uplink-existing": _UPLINK,
        "policy-shared": {"policies-disagree", *_UPLINK},
        "policies-disagree": _UPLINK,
        "node-selected-twice": _UPLINK,
        "uplink-failing": {"policy-degraded", "operator-degraded", *_STUCK, *_NO_PROBE, *_SILENCE},
        "policy-degraded": {*_STUCK, *_NO_PROBE},
        # Addresses.
        "reconciler-missing": {"lease-leaked", "reservation-stray"},
        "lease-leaked": {"pool-runs-out", "pool-full", "checkup-no-room", "reservation-stray"},
        "slice-short": {"pool-runs-out", "pool-full", "checkup-no-room"},
        "pool-runs-out": {"pool-full", "checkup-no-room"},
        "pool-overlap": {*_TWICE, "pool-runs-out", "pool-full"},
        "pool-missing": {"address-outside", "lease-outside", "peer-lease-twice"},
        "slice-overlap": {"peer-slices", *_TWICE},
        "slice-missing": {"peer-slices", *_TWICE},
        "peer-slices": _TWICE,
        "address-duplicate-peer": {"address-outside", "lease-outside", "peer-lease-twice", *_MOVES},
        "address-duplicate": {"checkup-address-duplicate", *_MOVES},
        "address-reserved": {"address-outside", "lease-outside"},
        "address-outside": {"lease-outside", "peer-sync-outside", "checkup-address-outside"},
        # The pods.
        "pool-full": {"pod-no-network", "pod-not-starting", *_STUCK - {"pool-full"}, "operator-degraded", *_SYNC},
        "address-missing": {"pod-crashes", "peer-sync-outside"},
        "pod-no-network": {"pod-not-starting", "rollout-unfinished", "operator-degraded", *_SYNC},
        "pod-crashes": {"rollout-unfinished", "operator-degraded", *_SYNC},
        "pod-not-starting": {"rollout-unfinished", "operator-degraded", *_SYNC},
        "rollout-unfinished": {"operator-degraded", "node-without-handler", "peer-sync-missing"},
        "pods-keep-old-network": {"mtu-differs", "address-outside", "pod-network-fallback", "vm-other-network"},
        "pod-network-fallback": {
            "vm-other-network",
            "migration-address-outside",
            "peer-sync-outside",
            "peer-sync-missing",
        },
        "mtu-differs": {"checkup-path-mtu", *_MOVES},
        # Between clusters.
        "peer-kubevirt": {"peer-gate", "peer-authority-missing", *_SYNC},
        "peer-gate": {*_SYNC, *_APART},
        "peer-sync-missing": _APART,
        "peer-sync-outside": _APART,
        "peer-sync-stale": _APART,
        "peer-untrusted": _APART,
        "peer-upgrading": {"peer-version-apart", "peer-version-differs", *_SYNC},
        "peer-authority-missing": {"peer-untrusted"},
        "peer-authority-expired": {"peer-untrusted"},
        "peer-toolkit-flag": {"peer-untrusted"},
        "segment-subnet": {"peer-segment"},
        "segment-apart": {"peer-segment"},
        "peer-segment": {"peer-way-broken"},
        "limits-differ": {"peer-limits-differ"},
        "completion-timeout-default": {"limit-default"},
        # What was measured.
        "checkup-no-network": _NO_PROBE,
        "checkup-no-attachment": {"checkup-no-address"},
        "checkup-link-down": _SILENCE,
        "checkup-nobody": _SILENCE - {"checkup-nobody"},
        "checkup-group-apart": {"checkup-way-silent", "peer-way-broken"},
        "checkup-node-alone": {"checkup-way-silent", "peer-way-broken"},
        "checkup-way-silent": {"peer-way-broken"},
        "checkup-path-mtu": {"peer-way-broken", *_MOVES},
        "checkup-ports-blocked": {"peer-way-broken", *_MOVES},
        "checkup-address-duplicate": {"peer-way-broken"},
        # One virtual machine.
        "vm-runs-twice": {"vm-left", "vm-migration-failed", "vm-migrating", "vm-stays-behind"},
        "vm-runs-nowhere": {"vm-left", "vm-migration-failed", "vm-migrating", "migration-stalled", *_APART},
        "vm-not-migratable": {"vm-never-migrated", *_MOVES},
        "vm-not-running": {"vm-never-migrated"},
    }.items()
}
"""What each finding explains, by codes."""

FORBIDDEN = frozenset({NOT_APPLIED, "not-applied", "object-recreated", "object-relabelled", "cluster-unfit"})
"""What an error that `up` refuses to work on explains: the stack, or its last change, is not on the cluster."""

TOLD_TWICE = frozenset({"operator-asleep", "operator-degraded", "settings-not-taken", "pods-keep-old-network"})
"""What several looks say of one object, each in its own words: all of it is one cause."""


@cache
def reach(code: str) -> frozenset[str]:
    """Return all that a code explains, through others too."""
    found: set[str] = set()
    ahead = [code]
    while ahead:
        new = FOLLOWS.get(ahead.pop(), frozenset()) - found
        found |= new
        ahead += new
    return frozenset(found)


@cache
def depth(code: str) -> int:
    """Return how far down the way a code is: 0 for what nothing explains, and more for what only shows."""
    above = [cause for cause in FOLLOWS if code in reach(cause) and cause != code]
    return len(above)
