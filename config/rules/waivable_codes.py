"""Codes that only a look at a cluster finds, and that a stack may waive all the same.

They are judgements that a user may know better about: what is worth knowing, and what may do in this place. Proofs that
traffic does not flow, or flows elsewhere, are not among them, nor what makes `up` fail. A test holds them against the
rules of preflight, verify and drift.
"""

WAIVABLE_LIVE = frozenset(
    {
        # Before up: what the cluster is like.
        "api-version-converted",
        "attachment-adopted",
        "field-written-back",
        "handlers-none",
        "limit-default",
        "limit-taken",
        "limit-unmanaged",
        "network-policy-cuts",
        "network-switched",
        "nic-default-route",
        "nic-single",
        "node-state-missing",
        "policies-disagree",
        "policy-adopted",
        "policy-shared",
        "pool-shared",
        "range-machine-network",
        "reconciler-missing",
        "slice-short",
        "uplink-existing",
        "vm-attached",
        # After up: what may hinder the next change.
        "lease-leaked",
        "mtu-unreported",
        "operator-degraded",
        "peer-unread",
        "pool-runs-out",
        "reservation-stray",
        # Later: who else works on the same objects.
        "field-co-owned",
        "foreign-metadata",
        "object-extended",
    }
)
"""What `check` cannot find, and so cannot call unused when it is waived."""

ALSO_LIVE = frozenset(
    {
        "default-route-shared",
        "limit-zero",
        "migration-policy-tied",
        "migration-too-slow",
        "post-copy-inert",
        "uplink-bond-bridged",
        "uplink-double-tag",
        "uplink-trunk",
    }
)
"""Codes of `check` that a look at a cluster finds, too: there may be something to waive that no file tells."""
