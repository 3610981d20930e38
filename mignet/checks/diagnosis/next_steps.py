"""The next command to type for a finding, with the real names in it: it looks closer, or repairs."""

from __future__ import annotations

import re
from shlex import quote
from typing import TYPE_CHECKING

from mignet.checks.diagnosis.consequences import NO_ACCESS, NOT_APPLIED

if TYPE_CHECKING:
    from config.cluster import Cluster
    from config.finding import Finding

_REPAIR = "mignet drift {stack} --fix"
_UP = "mignet up {stack}"
_GROW = "mignet allocate {stack}"
_PODS = "{oc} -n {namespace} get pods"
_HYPERCONVERGED = "{oc} -n {namespace} describe hyperconverged kubevirt-hyperconverged"
_KUBEVIRT = "{oc} -n {namespace} describe kubevirt"
_POOLS = "{oc} get ippools.whereabouts.cni.cncf.io -A -o yaml"
_CHECKUP = "mignet checkup {stack}"
_PAIR = "mignet peers {stack} {peer}"

_BY_CODE = {
    NOT_APPLIED: _UP,
    "not-applied": _UP,
    "field-changed": _REPAIR,
    "field-taken": _REPAIR,
    "list-extended": _REPAIR,
    "network-elsewhere": _REPAIR,
    "object-missing": _REPAIR,
    "object-left-over": "mignet drift {stack} --fix --engine direct",
    "declared-differs": _UP,
    "declared-missing": _UP,
    "attachment-gone": _UP,
    "attachment-invalid": _UP,
    "checkup-no-network": _UP,
    "network-switched": "mignet preview {stack}",
    "limit-taken": "mignet preview {stack}",
    "attachment-adopted": "mignet preview {stack}",
    "policy-adopted": "mignet preview {stack}",
    "migration-policy-unserved": "{oc} get customresourcedefinitions migrationpolicies.migrations.kubevirt.io",
    "multus-missing": "{oc} get pods -A -l app=multus",
    "whereabouts-missing": "{oc} get customresourcedefinitions ippools.whereabouts.cni.cncf.io",
    "reconciler-missing": "{oc} get daemonsets,deployments,cronjobs -A",
    "nmstate-missing": "{oc} get nmstates",
    "namespace-missing": "{oc} get namespaces",
    "hyperconverged-missing": "{oc} get hyperconvergeds -A",
    "kubevirt-missing": _HYPERCONVERGED,
    "operator-asleep": _PODS,
    "operator-degraded": _HYPERCONVERGED,
    "settings-not-taken": _KUBEVIRT,
    "workload-missing": _KUBEVIRT,
    "workload-not-annotated": "{oc} -n {namespace} logs deployment/virt-operator",
    "rollout-unfinished": "{oc} -n {namespace} rollout status {object}",
    "node-without-handler": "{oc} -n {namespace} describe daemonset virt-handler",
    "handlers-none": "{oc} get nodes --show-labels",
    "pod-crashes": "{oc} -n {namespace} logs {name} --previous",
    "slice-short": _GROW,
    "slice-overlap": _GROW,
    "slice-missing": _GROW,
    "pool-full": _GROW,
    "pool-runs-out": _GROW,
    "checkup-no-room": _GROW,
    "peer-slices": "mignet allocate {stack} {peer}",
    "lease-leaked": _POOLS,
    "lease-outside": _POOLS,
    "pool-missing": _POOLS,
    "reservation-stray": "{oc} get overlappingrangeipreservations -A",
    "uplink-failing": "{oc} get nodenetworkconfigurationenactments {node}.{name} -o yaml",
    "policy-degraded": "{oc} get nodenetworkconfigurationenactments",
    "node-selected-twice": "{oc} get nodes --show-labels",
    "peer-lease-twice": _PAIR,
    "peer-way-broken": "mignet checkup {stack} {peer}",
    "vm-never-migrated": "mignet verify {stack} --migrate {name}",
    "vm-before-network": "mignet verify {stack} --migrate {name}",
}
_NODE = "{oc} get nodenetworkstate {node} -o yaml"
_OBJECT = "{oc}{in_namespace} get {kind} {name} -o yaml"
_LOOP = re.compile(r"\bfor \w+ in \$\(oc .+?; done")
"""A loop that a remedy has written out."""


def next_step(finding: Finding, cluster: Cluster | None) -> str:
    """Return the command to type next for a finding; `cluster` is that of its stack, None when nobody knows it."""
    if found := _LOOP.search(finding.remedy):
        return found[0]
    return _filled(finding, cluster) if cluster else _help(finding)


def _filled(finding: Finding, cluster: Cluster) -> str:
    """Fill the names of a finding into the command for it."""
    subject = finding.subject
    namespace, _, name = subject.name.rpartition("/")
    path = cluster.kubeconfig or ""
    # A shell knows the home folder outside of quotes only.
    home = "~/" if path.startswith("~/") else ""
    flag = f" --kubeconfig {home}{quote(path.removeprefix(home))}" if path else ""
    names = {
        "stack": quote(finding.stack),
        "peer": quote(finding.peer or ""),
        "oc": f"oc{flag} --context {quote(cluster.context)}",
        "namespace": quote(cluster.namespace),
        "in_namespace": f" -n {quote(namespace)}" if namespace else "",
        "kind": subject.kind.lower(),
        "name": quote(name),
        "object": f"{subject.kind.lower()}/{quote(name)}",
        "node": quote(next(iter(subject.nodes), "")),
    }
    template = _template(finding)
    needed = re.findall(r"{(name|node|kind|peer)}", template)
    if not template or not all(names[each].strip("'") for each in needed):
        return _help(finding)
    if finding.code.startswith("vm-"):
        names["name"] = quote(subject.name)
    return template.format_map(names)


def _template(finding: Finding) -> str:
    subject = finding.subject
    if finding.code in NO_ACCESS or finding.code == "cluster-refused":
        return "{oc} get --raw /readyz"
    if finding.code in _BY_CODE:
        return _BY_CODE[finding.code]
    if subject.kind == "Pod":
        return "{oc}{in_namespace} describe pod {name}"
    if subject.nodes:
        return _NODE
    if subject.kind and subject.name:
        return _OBJECT
    if finding.code.startswith("checkup-"):
        return _CHECKUP
    return _PAIR if finding.peer else ""


def _help(finding: Finding) -> str:
    return f"mignet help {finding.code}"
