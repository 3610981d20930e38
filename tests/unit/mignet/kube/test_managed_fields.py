"""Who loses a field to an apply by force."""

from mignet.kube.kinds import Object
from mignet.kube.managed_fields import taken_over


def managed(**managers: tuple[str, dict[str, object]]) -> Object:
    """Return an object's metadata with what each manager owns, after how it wrote it."""
    entries = [
        {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": fields}}
        for manager, (operation, fields) in managers.items()
    ]
    return {"metadata": {"managedFields": entries}}


def test_a_field_that_another_manager_no_longer_owns_was_taken_from_it() -> None:
    live = managed(console=("Update", {"f:mtu": {}, "f:vlan": {}}))
    applied = managed(console=("Update", {"f:vlan": {}}), ours=("Apply", {"f:mtu": {}, "f:vlan": {}}))
    assert taken_over(live, applied, ours="ours") == {"spec.mtu": "console"}


def test_what_we_ourselves_give_up_is_taken_from_nobody() -> None:
    live = managed(ours=("Apply", {"f:mtu": {}}))
    assert taken_over(live, managed(), ours="ours") == {}


def test_a_manager_keeps_what_it_owns_by_another_kind_of_write() -> None:
    live = managed(hco=("Apply", {"f:mtu": {}}))
    live["metadata"]["managedFields"] += managed(hco=("Update", {"f:vlan": {}}))["metadata"]["managedFields"]
    applied = managed(hco=("Update", {"f:vlan": {}}), ours=("Apply", {"f:mtu": {}}))
    assert taken_over(live, applied, ours="ours") == {"spec.mtu": "hco"}
