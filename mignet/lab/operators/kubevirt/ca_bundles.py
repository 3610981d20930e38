"""Who KubeVirt's parts trust: each cluster's own authority, and those of its peers as after an exchange.

virt-operator makes an authority that lives 48 hours, and keeps a bundle of all that are trusted in the ConfigMap
`kubevirt-ca`. The peers' come there through `kubevirt-external-ca`, which it empties after merging; here they are in
the bundle at once. Nobody has the keys: nothing is signed here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mignet.kube.kinds import CONFIG_MAP, KUBEVIRT
from mignet.lab.operators.templates import KUBEVIRT_NAME, VIRT_OPERATOR

if TYPE_CHECKING:
    from mignet.kube.kinds import Object
    from mignet.lab.operators.cluster_view import World

NAME = "kubevirt-ca"
OWN, BEFORE = "lab.migration-network/authority", "lab.migration-network/authority-before"
"""The annotations of the bundle with the certificates that are this cluster's own: its current one, and the one before,
which both are valid for a day."""

LIFE = timedelta(hours=48)
RENEWAL = timedelta(hours=24)
"""What an authority has left when another one takes its place; there is a look at it every few minutes."""


async def step(world: World) -> None:
    """Do what is to be done next."""
    if world.one(KUBEVIRT, KUBEVIRT_NAME) is None:
        return
    there = world.one(CONFIG_MAP, NAME)
    if "authority-missing" in world.faults:
        if there is not None:
            await world.delete(CONFIG_MAP, there)
        return
    own, before = owned(there), owned(there, BEFORE)
    if own is None or expiry(own) - datetime.now(UTC) < RENEWAL:
        own, before = issue(), own
    if before is None or expiry(before) <= datetime.now(UTC):
        before = issue(ago=LIFE - RENEWAL)
    data, faults = (there or {}).get("data"), world.faults
    if "authority-expired" in faults:
        if data and all(expiry(each) <= datetime.now(UTC) for each in _split(data["ca-bundle"])):
            return
        bundle = [issue(ago=LIFE + timedelta(hours=1))]
    elif "authority-unexchanged" in faults:
        bundle = [own, before]
    else:
        bundle = [own, before, *sorted(world.peer_authorities.values())]
        if "authority-renewed" in faults:
            known = _split(data["ca-bundle"]) if data else []
            bundle = known if len(known) == len(bundle) + 1 and known[1:] == bundle else [issue(), *bundle]
    await _keep(world, there, (own, before), {"ca-bundle": "".join(bundle)})


async def _keep(world: World, there: Object | None, authorities: tuple[str, str], data: dict[str, str]) -> None:
    own = dict(zip((OWN, BEFORE), authorities, strict=True))
    if there is None:
        metadata = {"name": NAME, "namespace": world.namespace, "annotations": own}
        await world.create(CONFIG_MAP, {"metadata": metadata, "data": data}, manager=VIRT_OPERATOR)
    elif (owned(there), owned(there, BEFORE)) != authorities or there.get("data") != data:
        annotations = there["metadata"].get("annotations", {}) | own
        changed = there | {"metadata": there["metadata"] | {"annotations": annotations}, "data": data}
        await world.replace(CONFIG_MAP, changed, manager=VIRT_OPERATOR)


def owned(bundle: Object | None, which: str = OWN) -> str | None:
    """Return one of the cluster's own certificates in PEM form, if there is a bundle that tells it."""
    own = ((bundle or {}).get("metadata", {}).get("annotations") or {}).get(which)
    return None if own is None else str(own)


def expiry(certificate: str) -> datetime:
    """Return when a certificate in PEM form ends."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc


def issue(*, ago: timedelta = timedelta()) -> str:
    """Return the certificate of a new authority in PEM form, made `ago` before now."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    begin = datetime.now(UTC) - ago
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kubevirt.io@{begin.timestamp():.0f}")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of two clusters are never quite the same.
        .not_valid_before(begin - timedelta(minutes=5))
        .not_valid_after(begin + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    return built.public_bytes(Encoding.PEM).decode()


def _split(bundle: str) -> list[str]:
    end = "-----END CERTIFICATE-----\n"
    return [each + end for each in bundle.split(end)[:-1]]
