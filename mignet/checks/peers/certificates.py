"""Certificates of KubeVirt's authorities, as its bundles hold them: public parts only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mignet.kube.source import current_time

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. `fingerprint` is the SHA-256 of it, in hexadecimal digits; `expires` is in UTC."""

    subject: str
    fingerprint: str
    expires: datetime

    @property
    def expired(self) -> bool:
        """Whether it counts no more."""
        return self.expires <= current_time()


def certificates(bundle: str) -> tuple[Certificate, ...]:
    """Read a bundle of certificates in PEM form; one that cannot be read is as good as none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        return ()
    return tuple(
        Certificate(
            each.subject.rfc4514_string(),
            hashlib.sha256(each.public_bytes(Encoding.DER)).hexdigest(),
            each.not_valid_after_utc,
        )
        for each in found
    )
