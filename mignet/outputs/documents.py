"""What the verbs print as JSON: a model for each kind of document, from which its JSON Schema is made, too.

Keys are camelCase; the keys of a mapping that is data (labels, outputs, names of stacks) stay as they are. Values are
read off whatever has attributes of these names. Only who writes JSON imports this.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, computed_field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from config.finding import Severity
from config.planning.address_map import Kind as AddressKind
from mignet.fleet.concurrency import State
from mignet.fleet.results import API_VERSION
from mignet.kube.diff import Operation

if TYPE_CHECKING:
    from pydantic_core import core_schema

ApiVersion = Literal["migration-network/v1"]
_V1: ApiVersion = API_VERSION


def _plain(value: object) -> object:
    """Return a value as JSON has it; what JSON has not is text."""
    if isinstance(value, Mapping):
        return {whole(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | float | None) else whole(str(value))


def whole(value: object) -> object:
    """Return text without halves of characters, which no JSON has: names of files and escapes of JSON may have one."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


Plain = Annotated[Any, BeforeValidator(_plain)]
Text = Annotated[str, BeforeValidator(whole), BeforeValidator(str)]
Moment = Annotated[str, BeforeValidator(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"))]
Word = Annotated[str, BeforeValidator(whole)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        from_attributes=True,
        defer_build=True,
        frozen=True,
        serialize_by_alias=True,
        validate_by_alias=False,
        validate_by_name=True,
        json_schema_serialization_defaults_required=True,
        # Parsing the source for them takes time: only for who writes the schemas.
        use_attribute_docstrings="MIGNET_FIELD_DOCS" in os.environ,
    )


class Subject(_Part):
    """What a finding is about on a cluster, in parts; empty where it is not known, or is a key of a file."""

    kind: Word = ""
    """Kind of the object."""
    name: Word = ""
    """Its name, `namespace/name` where it has a namespace."""
    nodes: tuple[Word, ...] = ()
    """The nodes that it is on."""
    interface: Word = ""
    """An interface of theirs."""


class Finding(_Part):
    """One thing that is wrong, or worth knowing."""

    severity: Severity
    code: Word
    """What it is, in a word that does not change: docs/rules.md and docs/troubleshooting.md say what it means."""
    stack: Word
    """The stack that it is about; `mignet` when it is about the command line."""
    peer: Word | None
    """The other stack, when it is about two of them."""
    key: Word
    """Path in the stack file, or what it is about on the cluster in words."""
    value: Plain
    """What stands there; null when nothing does."""
    rule: Word
    """What is wrong with it: completes the sentence that key and value begin."""
    remedy: Word
    """The way out."""
    waived: Word | None
    """The reason why it is accepted all the same, when the stack says so."""
    blocks: bool
    """Whether nothing may be done before it is fixed: an error that is not waived."""
    subject: Subject
    message: Word = ""
    """All of it in one line."""
    file: Word | None = None
    """The file to correct, relative to the folder that mignet ran in; null when there is none."""
    line: int | None = None
    """Line of the key in the file, counted from 1."""
    column: int | None = None
    """Column of the key in the file, counted from 1."""


class Remark(_Part):
    """A sentence that is no finding."""

    stack: Word
    """The stack that it is about; empty when about no single one."""
    sentence: Word


class Document(_Part):
    """What every kind of document has."""

    api_version: ApiVersion = _V1
    kind: Word
    stacks: tuple[Word, ...] = ()
    """The stacks that it is about, by name."""
    findings: tuple[Finding, ...] = ()
    left_out: tuple[Remark, ...] = ()
    """What could not be looked at or judged."""
    not_judged: Mapping[Word, int] = {}
    """How many rules could not be judged, for each stack where there are any."""

    @computed_field
    def blocks(self) -> bool:
        """Whether one of the findings blocks."""
        return any(each.blocks for each in self.findings)


class Hop(_Part):
    """One end of a connection that a test machine took between two clusters."""

    role: Word
    """`from` and `to` for the virt-handlers, and `sync controller`."""
    stack: Word
    node: Word | None
    """None for a sync controller, and where KubeVirt does not say it."""
    address: Word | None
    """None where there is no migration0, or KubeVirt does not say it."""
    slice: Word
    """The slices of the stack."""
    inside: bool | None
    """Whether the address is in one of them; None where it is not known."""


class Crossing(_Part):
    """One way of a test machine from a cluster to another (`verify --migrate --to`)."""

    source: Word
    target: Word
    machine: Word
    outcome: Word
    """`Succeeded`, or how far the migration was on both sides."""
    proven: bool
    """Whether it ended well, with every known address in its slice."""
    begun: Word | None
    """When the copying began, as KubeVirt says it, in UTC."""
    ended: Word | None
    seconds: float
    """From the question to both clusters until the answer of both."""
    hops: tuple[Hop, ...]


class CheckResult(Document):
    """What `check`, `preflight` and `verify` found."""

    kind: Literal["CheckResult"] = "CheckResult"
    proven: tuple[Remark, ...] = ()
    """What was proven, for each stack of which something was."""
    crossings: tuple[Crossing, ...] = ()
    """The ways of a test machine between two clusters, where one was asked for."""


class Cause(_Part):
    """Something that is wrong and that nothing else explains."""

    finding: Finding
    explains: tuple[Finding, ...]
    """What follows from it."""
    evidence: tuple[Word, ...]
    """Warnings of the cluster's events about it and what follows, the newest first."""
    next: Word
    """The command to type next."""


class DiagnosisResult(Document):
    """What `diagnose` found: every finding once, and the causes of them."""

    kind: Literal["DiagnosisResult"] = "DiagnosisResult"
    causes: tuple[Cause, ...] = ()
    """The most probable first; each finding is a cause, or under one."""
    proven: tuple[Remark, ...] = ()
    """What was proven, for each stack of which something was."""


class Writer(_Part):
    """Who wrote a field, as the API server noted it (managedFields)."""

    manager: Word
    operation: Word
    """Apply or Update."""
    time: Word
    """In UTC, to the second."""
    subresource: Word
    """Empty for the object itself."""
    owns: bool
    """Whether it owns the field; else nobody does, and it is the object's last writer."""


class FieldChange(_Part):
    """One field that changes."""

    path: Word
    """Where in the object, as a sentence names it: `spec.config{ipam.range}`."""
    field: Word
    """The same without what is in braces: its dotted path."""
    inside: tuple[Word, ...]
    """What is in braces: keys within the JSON that the field's text holds."""
    old: Plain
    """What stands on the cluster; null when nothing does."""
    new: Plain
    """What is declared; null when nothing is."""
    owner: Word | None
    """The field manager that it is taken from, when it is taken from one."""
    by: Writer | None
    """Who set what stands on the cluster, and when; null when that is not known, or not asked for."""
    same_meaning: bool
    """Whether only the form of a configuration changes."""


class ObjectChange(_Part):
    """What happens to one object; `relinquish` gives our fields back, and the object stays."""

    operation: Operation
    kind: Word
    namespace: Word
    """Empty for what belongs to the whole cluster."""
    name: Word
    fields: tuple[FieldChange, ...]


class StackReport(_Part):
    """What a verb did on one stack's cluster, would do, or found there."""

    stack: Word
    verb: Word
    engine: Literal["direct", "pulumi"]
    error: Word | None
    """Why it failed, a line for each reason; null when it did not."""
    changed: bool
    """Whether anything differs from what is declared."""
    declined: bool
    """Whether somebody answered no, so that none of the changes was made."""
    warnings: tuple[Word, ...]
    means: tuple[Word, ...]
    """What the changes set off on the cluster: which pods restart, and what is running there."""
    changes: tuple[ObjectChange, ...]
    outputs: Mapping[Word, Plain]
    """The stack's outputs by name."""


class PlanResult(Document):
    """What `preview`, `up` and `destroy` would do, or did."""

    kind: Literal["PlanResult"] = "PlanResult"
    reports: tuple[StackReport, ...] = ()
    """One for each stack."""


class PulumiView(_Part):
    """What Pulumi itself says of a stack after a refresh."""

    changes: tuple[ObjectChange, ...]
    error: Word | None


class DriftReport(StackReport):
    """What differs on one stack's cluster from what the stack declares."""

    drifted: bool
    """Whether this is drift: a change, for us or for Pulumi, or a finding above `info` that is not waived."""
    pulumi: PulumiView | None
    """What Pulumi sees; null with the direct engine, which keeps no state."""
    apart: tuple[Word, ...]
    """A sentence for each difference between Pulumi's view and ours."""


class DriftResult(Document):
    """What `drift` found: the changes that would undo the drift, and the findings."""

    kind: Literal["DriftResult"] = "DriftResult"
    reports: tuple[DriftReport, ...] = ()
    """One for each stack."""


class PeerPath(_Part):
    """Whether virtual machines can migrate from one cluster to another."""

    source: Word
    """A stack."""
    target: Word
    """Another stack."""
    ready: bool
    code: Word | None
    """Code of the first finding against it; null when it is ready."""
    reason: Word | None
    """The same as a sentence."""
    via: tuple[Text, ...] = ()
    """The gateways that packets pass, the source's first; empty where both are in one subnet."""
    mtu: int | None = None
    """Bytes that a packet may have, the least on the path; null when that is not known."""


class PeersResult(Document):
    """What `peers` found."""

    kind: Literal["PeersResult"] = "PeersResult"
    ready: int = 0
    """How many of the paths are ready."""
    checkup: Word | None = None
    """What the last checkup measured between the nodes; null when there was none, or with `--files`."""
    paths: tuple[PeerPath, ...] = ()
    """One for each stack and each other one."""


class End(_Part):
    """A node of a stack's cluster."""

    stack: Word
    node: Word


class NodeResult(_Part):
    """One node and the probe that ran on it."""

    name: Word
    address: Word | None
    """The probe's address on the network; null when it got none."""
    mac: Word | None
    ok: bool
    """Whether nothing is wrong with the node itself, nor with every path from and to it."""
    problem: Word | None
    """Code of the finding that names this node; null when none does."""


class ClusterResult(_Part):
    """One stack's cluster."""

    stack: Word
    network: Word
    nodes: tuple[NodeResult, ...]
    problem: Word | None
    """Code of the finding for which nothing was measured there; null when something was."""


class PairResult(_Part):
    """What one node measured of another."""

    source: End
    target: End
    ok: bool
    reason: Word | None
    """Why not, in a few words; null when it is."""
    rtt_ms: float | None
    """Round-trip time in milliseconds: the least of a few."""
    path_mtu: int | None
    """Bytes that go there and back in one piece: the declared MTU, when that does."""
    throughput: float | None
    """Mbit/s; null unless it was asked for."""


class Coverage(_Part):
    """How much was measured, in paths from one node to another."""

    possible: int = 0
    planned: int = 0
    measured: int = 0
    share: float = 0.0
    """The measured part of all that is possible, from 0 to 1."""


class CheckupResult(Document):
    """What `checkup` measured: printed, kept by `--report`, and read by `report` and `peers`."""

    kind: Literal["CheckupResult"] = "CheckupResult"
    run: Word | None = None
    """Name of the run; null when there was none, as are the next three."""
    seed: int | None = None
    """Chooses the sample: the same seed on the same nodes is the same sample."""
    begun: Word | None = None
    """In UTC."""
    ended: Word | None = None
    """In UTC."""
    mtu: Mapping[Word, int | None] = {}
    """The declared MTU of each stack's network, in bytes."""
    ports: tuple[int, ...] = ()
    """TCP ports that were tried."""
    clusters: tuple[ClusterResult, ...] = ()
    pairs: tuple[PairResult, ...] = ()
    coverage: Coverage = Coverage()


class Span(_Part):
    """Addresses from `first` to `last`, both inclusive."""

    first: Text
    last: Text
    size: int
    """Number of addresses."""


class AddressPart(_Part):
    """Addresses of one kind; those that are used name their stack."""

    kind: AddressKind
    stack: Word | None
    span: Span


class AddressOverlap(_Part):
    """Addresses that two have."""

    span: Span
    between: tuple[str, str]
    """Two stacks, or a stack and `reserved` or `gateway`."""


class AddressMap(_Part):
    """One subnet; sizes are numbers of addresses."""

    subnet: Text
    usable: Span
    used: int
    """In slices, each counted once."""
    free: int
    kept_free: int
    """The gateway's and reserved ones, as far as they are in no slice."""
    largest_free: int
    """Size of the largest free part."""
    fragmentation: float
    """1 minus the largest free part's share of all that is free: 0 when it is in one piece."""
    parts: tuple[AddressPart, ...]
    """In order of their first address."""
    overlaps: tuple[AddressOverlap, ...]
    without_slice: tuple[Word, ...]
    """Stacks that hand out the whole subnet."""


class AddressPlan(Document):
    """What `plan-addresses` shows."""

    kind: Literal["AddressPlan"] = "AddressPlan"
    maps: tuple[AddressMap, ...] = ()
    """One for each subnet."""


class LimitValue(_Part):
    """One limit that applies."""

    key: Word
    """As KubeVirt names it."""
    value: Plain
    source: Word
    """Where it comes from: this stack, the HyperConverged and who set it there, its annotation, the KubeVirt object,
    a MigrationPolicy, or a default of KubeVirt."""


class EffectiveLimits(_Part):
    """Virtual machines of one stack's cluster that get the same limits."""

    stack: Word
    machines: tuple[Word, ...]
    """Those that run, as `namespace/name`."""
    policy: Word | None
    """The MigrationPolicy that applies to them; null without one."""
    values: tuple[LimitValue, ...]


class LimitsResult(Document):
    """What `limits` found: which limits each virtual machine gets."""

    kind: Literal["LimitsResult"] = "LimitsResult"
    limits: tuple[EffectiveLimits, ...] = ()
    """One for each stack and each outcome, most virtual machines first."""


class Between(_Part):
    """From the best to the worst, in seconds; null where it never ends."""

    low: float | None
    high: float | None


class CapacityLink(_Part):
    """What a node can send."""

    source: Word
    bytes_per_second: Between


class CapacityMachine(_Part):
    """One running virtual machine, and how its migration goes when it has the link for itself."""

    name: Word
    node: Word
    memory: float
    """Bytes."""
    disks: float
    """Bytes that are copied of its disks."""
    dirty_rate: Between
    """Bytes per second that it writes of its memory."""
    source: Word
    """Where the dirty rate comes from: measured, its last migration, or a class that is assumed."""
    not_migratable: Text | None
    """Why it cannot be migrated; null when it can. Then what follows is null where it cannot."""
    seconds: Between | None
    stopped: Between | None
    """Seconds for which the guest stands still."""
    endings: tuple[Word, ...] | None
    """How it ends at the best and at the worst."""
    decides: Word | None
    """What decides how long it takes: the link, a limit by its key, or the dirty rate."""


class CapacityMove(_Part):
    """One migration of a drain, at the worst; seconds from its start, null for never."""

    machine: Word
    begin: float | None
    end: float | None
    ending: Word


class CapacityDrain(_Part):
    """How a node is drained, or with null for a node, how all leave the cluster at once."""

    node: Word | None
    seconds: Between
    stay: tuple[Word, ...]
    """Virtual machines that cannot be migrated."""
    doubtful: tuple[Word, ...]
    """Those whose migration does not end at the worst."""
    plan: tuple[CapacityMove, ...]


class CapacityProposal(_Part):
    """Limits that would serve better, by their keys in the stack, and why."""

    limits: dict[str, Plain]
    reasons: tuple[Text, ...]


class ClusterCapacity(_Part):
    """One stack's cluster."""

    stack: Word
    link: CapacityLink | None
    """Null where nobody knows what it carries: no time is told then."""
    per_node: int | None
    """Migrations at a time that leave one node."""
    per_cluster: int | None
    machines: tuple[CapacityMachine, ...]
    drains: tuple[CapacityDrain, ...]
    all_at_once: CapacityDrain | None
    proposal: CapacityProposal | None
    """Null where none was asked for."""


class CapacityResult(Document):
    """What `capacity` found: how long migrations and node drains take."""

    kind: Literal["CapacityResult"] = "CapacityResult"
    clusters: tuple[ClusterCapacity, ...] = ()
    """Without those that could not be read."""


class ExpectedEnd(_Part):
    """Between when and when, in UTC; null where it does not end by itself."""

    soon: Word | None
    late: Word | None


class Migrating(_Part):
    """A migration that has not ended, as one cluster has it; one between two clusters is there twice, once for each."""

    stack: Word
    migration: Word
    """The VirtualMachineInstanceMigration, as `namespace/name`."""
    machine: Word
    """The virtual machine, as `namespace/name`."""
    way: Literal["within", "sends", "receives"]
    """Within the cluster, or the half of one between two clusters that this one has."""
    peer: Word | None
    """The stack of the other cluster; null within one, and where it is not known."""
    shared_id: Word | None
    """The migrationID that both halves have in common; null within a cluster."""
    phase: Word
    """KubeVirt's word; empty before it has looked at it."""
    since: Word
    """When it came into this phase, in UTC."""
    started: Word | None
    """When the copy began, in UTC; null before."""
    mode: Word | None
    """PreCopy, PostCopy or Paused; null where KubeVirt does not say."""
    source_node: Word | None
    target_node: Word | None
    """Null where they are not known on this cluster, as the next."""
    address: Word | None
    """The address that it goes to."""
    abort_status: Word | None
    """How far it is cancelled; null when it is not."""
    expected_end: ExpectedEnd | None
    """When the model of mignet capacity says that it ends; null where it cannot say."""
    latest_end: Word | None
    """When KubeVirt ends it, or goes on in post-copy, at the latest, in UTC; null without a bound."""
    bound: Word
    """The same in words, with how it is worked out."""


class MigratingPlan(_Part):
    """A plan of the migration toolkit (Forklift), of type live, that runs."""

    stack: Word
    name: Word
    """As `namespace/name`."""
    since: Word
    """When it began, in UTC; empty where it does not say."""
    machines: tuple[Word, ...]
    """Those that have not arrived."""


class MigrationsResult(Document):
    """What `migrations` found: what runs; what does not go on is in the findings."""

    kind: Literal["MigrationsResult"] = "MigrationsResult"
    migrations: tuple[Migrating, ...] = ()
    plans: tuple[MigratingPlan, ...] = ()


class ReportStation(_Part):
    """One station on the way from a node's NIC to the pod."""

    kind: Word
    """What it is: a NIC, a VLAN, an attachment, a pod."""
    name: Word
    detail: Word
    tone: Literal["good", "warn", "bad", "idle"]
    """How it stands: healthy, doubtful, broken, or not seen."""
    why: Word
    """What is wrong with it; empty when nothing is."""
    code: Word
    """Code of the finding that says so; empty without one."""


class ReportLane(_Part):
    """Nodes on which all stations are alike."""

    nodes: tuple[Word, ...]
    tone: Literal["good", "warn", "bad", "idle"]
    """As its worst station."""
    steps: tuple[ReportStation, ...]
    """From the NIC to the pod."""
    addresses: tuple[Text, ...]
    measured: Word
    """What a checkup measured from and to these nodes, in words; empty when nothing."""


class ReportPath(_Part):
    """What stands between the nodes of one cluster and its pods."""

    stack: Word
    seen: bool
    """Whether the cluster was looked at; else this is what its file declares."""
    measured: Word
    """What a checkup measured of it, as a sentence; the rest is what objects say."""
    lanes: tuple[ReportLane, ...]


class ReportUse(_Part):
    """What one cluster has of a subnet; all are numbers of addresses."""

    stack: Word
    span: Span
    size: int | None
    """That pods can get; null when another party gives the addresses."""
    leases: tuple[Text, ...] | None
    """Given out by whereabouts; null when not seen."""
    needed: int | None
    """For a full rollout, or what is leased, if that is more; null when nobody knows."""


class ReportSubnet(_Part):
    """A subnet of the segment, and what each cluster has and needs of it."""

    plan: AddressMap
    uses: tuple[ReportUse, ...]


class ReportSite(_Part):
    """A site of a routed segment."""

    name: Word
    stacks: tuple[Word, ...]
    """Those that the report is about."""
    subnets: tuple[Text, ...]
    gateways: tuple[Text, ...]
    vlan: int | None
    mtu: int | None
    """Bytes, within the site."""
    path_mtu: int | None
    """Bytes that pass to other sites, where the segment says so."""
    tone: Literal["good", "warn", "bad", "idle"]
    """How the paths to other sites stand, as they were measured."""
    measured: Word
    """The same in words."""


class ReportDrain(CapacityDrain):
    """How a node of one stack's cluster is drained."""

    stack: Word


class DriftSpan(_Part):
    """Looks at drift in a row that found the same."""

    begin: Moment
    """When the first one was, in UTC, or where the 30 days begin that are shown."""
    end: Moment
    """When another one found something else; else when the report was made."""
    state: Word
    """`none`, `drifted`, or `not seen`."""
    looks: int
    changes: int
    """The most changes that a look found."""
    by: tuple[Word, ...]
    """The field managers that made them."""


class DriftMark(_Part):
    """Something that mignet did to the cluster."""

    time: Moment
    verb: Word
    outcome: Word
    who: Word


class DriftOverTime(_Part):
    """Drift of one stack over time, as the history of the machine tells that made the report."""

    stack: Word
    spans: tuple[DriftSpan, ...]
    marks: tuple[DriftMark, ...]


class ReportResult(Document):
    """What `report` shows of a fleet."""

    kind: Literal["ReportResult"] = "ReportResult"
    made: Word | None = None
    """When, in UTC; null when there was none, as is the next."""
    headline: Word | None = None
    """All of it in one sentence."""
    seen: tuple[Word, ...] = ()
    """The stacks whose clusters were looked at."""
    subnets: tuple[ReportSubnet, ...] = ()
    sites: tuple[ReportSite, ...] = ()
    """The sites of a routed segment; none where all clusters are in one subnet."""
    paths: tuple[ReportPath, ...] = ()
    """One for each stack."""
    limits: tuple[EffectiveLimits, ...] = ()
    """What the virtual machines of each cluster get, most of them first."""
    drains: tuple[ReportDrain, ...] = ()
    """How each node is drained, where that can be told."""
    drift: tuple[DriftOverTime, ...] = ()
    """What looks at drift found in the last 30 days; none where there were none from this machine."""
    ready: int = 0
    """How many of the paths from one cluster to another are ready."""
    of: int = 0
    """How many there are."""


class KeptField(_Part):
    """One field of a plan as it was written down; long values are cut."""

    path: Word
    old: Plain
    new: Plain


class KeptChange(_Part):
    """What happened to one object, or to a stack's file (`kind` is `file` then)."""

    operation: Operation
    kind: Word
    namespace: Word
    name: Word
    fields: tuple[KeptField, ...]


class DriftSeen(_Part):
    """What a look at drift found."""

    changes: int
    """How many changes would undo it; 0 and no codes where there was none."""
    by: tuple[Word, ...]
    """The field managers that made them."""
    codes: tuple[Word, ...]
    """Codes of the findings."""


class HistoryEntry(_Part):
    """One thing that happened to a stack."""

    time: Word
    """When it began, in UTC."""
    source: Literal["mignet", "pulumi"]
    """Who tells of it: mignet, which did it, or the state backend of a Pulumi that ran without it."""
    verb: Word
    """`up`, `destroy`, `drift --fix`, `verify`, `checkup`, `drift` (a look) ...; of Pulumi, its own word."""
    stack: Word
    outcome: Word
    """`done`, `failed`, `stopped`, `timed out`, `not started`, `refused` (before anything was done), `declined`,
    `broken off`, `looked`; `begun` when no end was written."""
    said: Word
    """Why, in sentences."""
    seconds: float | None
    """How long it took."""
    who: Word
    known: Word
    """How that is known: `system` (the account), a variable of the environment, or `Pulumi`, which does not say who."""
    account: Word
    """The account on the machine."""
    host: Word
    engine: Word
    version: Word
    """Of mignet."""
    context: Word | None
    """Of the kubeconfig; null where no cluster was changed."""
    uid: Word | None
    """The cluster's UID, where the stack file says it."""
    commit: Word | None
    """The commit that the project was at; null when it is in no git repository."""
    dirty: bool | None
    """Whether files differed from it; null where git did not tell."""
    changes: tuple[KeptChange, ...]
    """The plan: what was done, or would have been."""
    cut: int
    """Fields and objects of it that were too many to be kept."""
    drift: DriftSeen | None
    """What a look at drift found; null for everything else, and where the cluster could not be looked at."""
    run: Word
    """The same for all that one run did."""
    number: int | None
    """Of its line; null when Pulumi tells of it."""


class HistoryChain(_Part):
    """How one chain of lines is kept."""

    name: Word
    """`changes`, or `looks` (at drift)."""
    folder: Word
    lines: int
    """Lines that are as they were written."""
    head: Word | None
    """Hash of the last line, to be kept elsewhere and given to `--head`; null without lines."""
    number: int | None
    """Of the last line, counted from the first that ever was; null without lines."""
    problem: Word | None
    """The first line that does not fit, and what that means; null when all do."""
    remarks: tuple[Word, ...]
    """What is no problem: torn lines of killed processes, and old ones that were dropped."""


class HistoryResult(Document):
    """What `history` shows, the latest first."""

    kind: Literal["HistoryResult"] = "HistoryResult"
    entries: tuple[HistoryEntry, ...] = ()
    chains: tuple[HistoryChain, ...] = ()


class StackRun(_Part):
    """How far one stack is, or how it ended."""

    state: State
    seconds: float
    """How long it took."""
    said: Word
    """Its error, or its summary."""


class RunRecord(_Part):
    """The record of a run over several stacks: what `--report FILE` keeps, and `--only-failed` takes up."""

    api_version: ApiVersion = _V1
    kind: Literal["RunRecord"] = "RunRecord"
    verb: Word
    engine: Word
    begun: Word
    """In UTC."""
    ended: Word | None
    """In UTC; null until it is over."""
    stacks: Mapping[Word, StackRun]
    """By name."""


ChangeKind = Literal[
    "drift-began",
    "drift-ended",
    "finding-began",
    "finding-ended",
    "cluster-lost",
    "cluster-back",
    "files-refused",
    "files-read",
    "stack-added",
    "stack-removed",
    "webhook-dropped",
    "failed",
]
"""What a watch tells of."""


class Change(_Part):
    """One line of `watch -o json`, and what its webhook is sent: one thing that changed."""

    api_version: ApiVersion = _V1
    kind: Literal["Change"] = "Change"
    what: ChangeKind
    stack: Word
    """The stack that it is about; empty when about no single one."""
    sentence: Word
    verb: Word
    """What judges so: `drift`, `verify`, `preflight`, `limits` or `peers`; empty where nothing was judged."""
    code: Word
    """Code of the finding, or why a cluster is lost; empty when it is about neither."""
    severity: Severity | Literal[""]
    """Of the finding; empty when it is about none."""
    subject: Word
    """Path in the stack file, or what the finding is about on the cluster in words."""
    peer: Word | None
    """The other stack, when the finding is about two of them."""
    time: Word
    """When it was seen, in UTC."""
    id: Word
    """Its own: who is sent one twice sees it by this."""


KINDS: dict[Word, type[_Part]] = {
    each.__name__: each
    for each in (
        CheckResult,
        DiagnosisResult,
        PlanResult,
        DriftResult,
        PeersResult,
        CheckupResult,
        AddressPlan,
        ReportResult,
        LimitsResult,
        CapacityResult,
        MigrationsResult,
        HistoryResult,
        RunRecord,
        Change,
    )
}
"""The documents by kind."""


class _Schema(GenerateJsonSchema):
    """Leaves out what tells a reader nothing: titles made of names, and defaults, as every key is always there."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def schema_text(kind: Word) -> str:
    """Return the JSON Schema (draft 2020-12) of a kind of document, as text.

    Descriptions of keys are there when the environment has MIGNET_FIELD_DOCS since before this was imported.
    """
    made = KINDS[kind].model_json_schema(mode="serialization", schema_generator=_Schema)
    return json.dumps({"$schema": GenerateJsonSchema.schema_dialect, **made}, indent=2) + "\n"
