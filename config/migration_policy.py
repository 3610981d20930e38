"""MigrationPolicies: other limits for some virtual machines, declared beside those of the whole cluster.

Sources: KubeVirt, api/migrations/v1alpha1/types.go (the fields and their bounds), pkg/virt-controller/watch/migration/
migrationpolicy.go (which one applies).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, model_validator

from config.finding import Finding
from config.hyperconverged import Rate
from config.types.model import Model, hold, refuse
from config.types.names import DnsLabel, is_label

if TYPE_CHECKING:
    from collections.abc import Iterator


def _plain(value: object) -> object:
    if isinstance(value, dict) and (wrong := {"matchLabels", "matchExpressions"} & value.keys()):
        refuse(
            "selector-match-labels",
            f"has {' and '.join(sorted(wrong))}, which the selectors of a MigrationPolicy do not know",
            "Write the labels directly under it, such as workload-type: db",
        )
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    for key, wanted in value.items():
        if not is_label(key, wanted):
            refuse(
                "selector-label",
                f"has {key}={wanted}, which is no label",
                'Write labels and their exact values, such as workload-type: db, or gpu: ""',
            )
    return value


Selector = Annotated[dict[str, str], BeforeValidator(_plain), AfterValidator(_labels)]


class PolicyLimits(Model):
    """Limits of the virtual machines that a policy selects; of what is left out they get what the cluster has."""

    bandwidth_per_migration: Rate | None = None
    """Bytes per second as a quantity; 0 is no limit."""
    completion_timeout_per_gib: int | None = Field(default=None, ge=1, le=86400, alias="completionTimeoutPerGiB")
    """Seconds for each GiB of memory and copied disk, after which a migration is cancelled, or helped along where that
    is allowed."""
    max_downtime_ms: int | None = Field(default=None, ge=1, le=2_000_000)
    """Milliseconds that the guest may stand still at the end of a migration. Only newer releases know it."""
    allow_auto_converge: bool | None = None
    """Slow the guest down so that its memory stops changing faster than it is copied."""
    allow_post_copy: bool | None = None
    """Switch to post-copy. Sets `allowWorkloadDisruption` to the same, where that is left out."""
    allow_workload_disruption: bool | None = None
    """Pause the guest, or switch to post-copy, rather than cancel. Only newer releases know it."""


class MigrationPolicy(Model):
    """Other limits for the virtual machines that have all labels of both selectors, their namespaces' among them.

    Of several that select one, the one with the most labels applies; among equals the one with more labels of the
    virtual machine, and then the first by name.
    """

    name: DnsLabel
    """The MigrationPolicy's name; it has no namespace."""
    namespace_selector: Selector = Field(default_factory=dict)
    """Labels of the namespace, with their exact values."""
    virtual_machine_instance_selector: Selector = Field(default_factory=dict)
    """Labels of the virtual machine, with their exact values; it has those of its template."""
    limits: PolicyLimits
    """What they get."""
    adopt: bool = False
    """Take over a MigrationPolicy of this name that somebody else made."""

    def rules(self) -> Iterator[Finding]:
        """A policy that sets nothing still takes its virtual machines from policies that match less closely."""
        if not self.settings:
            yield Finding(
                "limits",
                None,
                "sets nothing, and takes virtual machines from other policies all the same",
                "Write a limit, such as bandwidthPerMigration: 512Mi, or remove the policy",
                code="migration-policy-limits",
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The limits that it sets, by KubeVirt's keys."""
        return self.limits.model_dump(by_alias=True, exclude_none=True)

    @property
    def spec(self) -> dict[str, Any]:
        """The spec of the MigrationPolicy."""
        selectors = {
            "namespaceSelector": self.namespace_selector,
            "virtualMachineInstanceSelector": self.virtual_machine_instance_selector,
        }
        return {"selectors": {key: dict(value) for key, value in selectors.items() if value}} | self.settings

    @property
    def detail(self) -> tuple[int, int]:
        """How closely it matches: the labels in all, and those of the virtual machine."""
        machine = len(self.virtual_machine_instance_selector)
        return machine + len(self.namespace_selector), machine

    def same_as(self, other: MigrationPolicy) -> bool:
        """Tell whether two policies select the same virtual machines by the same labels."""
        one, two = ((each.namespace_selector, each.virtual_machine_instance_selector) for each in (self, other))
        return one == two

    def may_tie(self, other: MigrationPolicy) -> bool:
        """Tell whether a virtual machine may have all labels of both, which match it as closely."""
        pairs = (
            (self.namespace_selector, other.namespace_selector),
            (self.virtual_machine_instance_selector, other.virtual_machine_instance_selector),
        )
        return self.detail == other.detail and all(
            one[key] == two[key] for one, two in pairs for key in one.keys() & two.keys()
        )


class MigrationPolicies(RootModel[tuple[MigrationPolicy, ...]]):
    """The MigrationPolicies of a stack, each of a name of its own."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [each.name for each in self.root]
        twice = (
            Finding(
                f"[{index}].name",
                name,
                "is another policy's too",
                "Rename one, or make one of both",
                code="migration-policy-name",
            )
            for index, name in enumerate(names)
            if name in names[:index]
        )
        hold("MigrationPolicies", twice)
        return self
