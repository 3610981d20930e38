"""The lab's certificates: a CA for etcd and one for each cluster, and what each of them signs.

A CA's private key is never written: once its few certificates are signed, nobody can have another one signed.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from mignet.lab.folders import private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

VALIDITY = timedelta(days=3650)
"""Longer than any lab lives: nothing renews a certificate here."""


def issue_all(folder: Path, *, clusters: Iterable[str]) -> None:
    """Write every certificate of a lab below `folder`, all of them or none; what is there stays as it is.

    `etcd/` and `conversion/`: ca, server, client. `<cluster>/`: ca, server, admin (a member of the group
    system:masters) and `service-account.key`. Each is a `.crt` and a `.key` in PEM.
    """
    if folder.exists():
        return
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    private_folder(new)
    authority = Authority(private_folder(new / "etcd"), name="migration-network lab etcd")
    authority.issue("server", name="etcd")
    authority.issue("client", name="kube-apiserver")
    authority = Authority(private_folder(new / "conversion"), name="migration-network lab conversion")
    authority.issue("server", name="conversion")
    authority.issue("client", name="mignet-lab")
    for cluster in clusters:
        authority = Authority(private_folder(new / cluster), name=f"migration-network lab {cluster}", key=_quick_key())
        authority.issue("server", name="kube-apiserver")
        authority.issue("admin", name="lab-admin", organization="system:masters")
        write_private(new / cluster / "service-account.key", _key_pem(_private_key()))
    new.rename(folder)


class Authority:
    """A certificate authority that lives as long as this object; it writes into `folder`, its own certificate too."""

    def __init__(self, folder: Path, *, name: str, key: RSAPrivateKey | None = None) -> None:
        self._folder = folder
        self._key = key or _private_key()
        self._name = _name(name, organization=None)
        write_private(folder / "ca.crt", _pem(self._sign(self._name, self._key, authority=True)))

    def issue(self, file: str, *, name: str, organization: str | None = None) -> None:
        """Write `<file>.crt` and `<file>.key`, good as a client `name` and as a server on 127.0.0.1 or localhost.

        Kubernetes reads `organization` as a group.
        """
        key = _private_key()
        write_private(self._folder / f"{file}.crt", _pem(self._sign(_name(name, organization), key, authority=False)))
        write_private(self._folder / f"{file}.key", _key_pem(key))

    def _sign(
        self, subject: x509.Name, key: EllipticCurvePrivateKey | RSAPrivateKey, *, authority: bool
    ) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.x509.oid import ExtendedKeyUsageOID

        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            # A clock that is set back later must not turn the certificate into one of the future.
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + VALIDITY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_usage(authority=authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if not authority:
            hosts = [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("localhost")]
            uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        return builder.sign(self._key, SHA256())


def _private_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _quick_key() -> RSAPrivateKey:
    """Return a key whose signatures are checked in a fifth of the time: kube-apiserver does that at every request."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _name(name: str, organization: str | None) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    # kube-apiserver derives the public key of service accounts from this form only.
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
