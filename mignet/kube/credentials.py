"""What may be said of credentials that do not work: words of our own, never what a library or a plugin printed.

A header that cannot be sent is repeated in the error, the path of a token's file may be the token itself, and a plugin
that fails may print a password: none of it is told, only which part failed, and how to see more.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import copy
import json
import os
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import yaml
from lightkube.core.exceptions import ConfigError as KubeConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import User

FAILURES = (httpx2.LocalProtocolError, KubeConfigError, OSError, ValueError, KeyError, TypeError)
"""What a request raises before it is sent, when its credentials cannot be used."""

_OF_PLUGINS = (KubeConfigError, OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError)
"""Not every ValueError: the API server's answer is read by another decoder of JSON."""


def without_user(server: str) -> str:
    """Return a server's address without the user and password that it may hold.

    >>> without_user("https://admin:password@api.example.com:6443")
    'https://api.example.com:6443'
    """
    return re.sub(r"//[^/]*@", "//", server)


def unusable(user: User | None, error: Exception) -> str | None:
    """Say why a user of a kubeconfig could not be used for a request, or None when its credentials are not to blame."""
    if isinstance(error, httpx2.LocalProtocolError | UnicodeEncodeError):
        return "the token or password is not one line of ASCII text"
    if user is not None and user.token_file is not None:
        return "tokenFile cannot be read; it is the path of a file that holds the token"
    if user is not None and user.exec is not None and isinstance(error, _OF_PLUGINS):
        return f"the credential plugin {user.exec.command} {_of_plugin(error)}"
    return None


@contextlib.contextmanager
def in_memory(connection: SingleConfig) -> Iterator[SingleConfig]:
    """Have the certificates and keys of a kubeconfig read from memory: lightkube writes them to temporary files.

    Where the system has no files in memory, it does.
    """
    if not hasattr(os, "memfd_create"):
        yield connection
        return
    with contextlib.ExitStack() as files:

        def held(data: str | None) -> str | None:
            if not data:
                return None
            file = files.enter_context(os.fdopen(os.memfd_create("kubeconfig"), "wb"))
            file.write(base64.b64decode(data))
            file.flush()
            return f"/proc/self/fd/{file.fileno()}"

        cluster, user = copy.copy(connection.cluster), copy.copy(connection.user)
        cluster.certificate_auth = held(cluster.certificate_auth_data) or cluster.certificate_auth
        cluster.certificate_auth_data = None
        if user is not None:
            user.client_cert = held(user.client_cert_data) or user.client_cert
            user.client_key = held(user.client_key_data) or user.client_key
            user.client_cert_data = user.client_key_data = None
        yield connection._replace(cluster=cluster, user=user)


def trusts_the_public(connection: SingleConfig) -> bool:
    """Tell whether a cluster is trusted by the system's authorities, and knows the user by a token or password."""
    cluster, user = connection.cluster, connection.user
    own = cluster.certificate_auth or cluster.certificate_auth_data or cluster.insecure
    return not own and not (user and (user.client_cert or user.client_cert_data))


def expired(user: User | None) -> str | None:
    """Say that a user's client certificate has expired, and when; None when it has not, or cannot be read."""
    if user is None or not (user.client_cert or user.client_cert_data):
        return None
    from cryptography import x509

    try:
        data = (
            base64.b64decode(user.client_cert_data)
            if user.client_cert_data
            else Path(user.client_cert or "").read_bytes()
        )
        end = x509.load_pem_x509_certificate(data).not_valid_after_utc
    except (OSError, ValueError):
        return None
    if end > datetime.now(UTC):
        return None
    return f"user.client-certificate of the kubeconfig expired on {end:%Y-%m-%d %H:%M} UTC; log in again, or renew it"


def _of_plugin(error: Exception) -> str:
    ended = re.match(r"Exec .* returned (-?\d+):", str(error))
    if isinstance(error, KubeConfigError) and ended:
        return f"ended with exit code {ended[1]}; run it by hand to see why"
    if isinstance(error, KubeConfigError):
        return "is of an API version that is not supported; use client.authentication.k8s.io/v1"
    if isinstance(error, OSError):
        return f"failed: {error.strerror}"
    return "printed no token; run it by hand to see what it does"


def unreadable(error: Exception) -> str:
    """Say why a kubeconfig, or a certificate or key that it names, cannot be read."""
    match error:
        case yaml.MarkedYAMLError(problem=str(problem), problem_mark=yaml.Mark(line=line), note=str()):
            return f"it {problem} (line {line + 1})"
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark(line=line)):
            return f"it is not YAML (line {line + 1})"
        case yaml.YAMLError() | UnicodeDecodeError():
            return "it is not YAML"
        case ssl.SSLError():
            return "a certificate or key is not PEM, or they do not belong together"
        case OSError(strerror=str(reason)):
            return reason
        case binascii.Error():
            return "a certificate or key is not base64"
        case httpx2.InvalidURL():
            return "the server, or the proxy of the environment, is not a URL"
        case _:
            return "it is not complete, or has something else where a kubeconfig has credentials"
