"""Kubeconfigs, read as kubectl and Pulumi's provider read them: both must reach one server, or the stack is refused.

The provider is given the path as the stack writes it. It expands a leading `~/` with the account's home, whatever
`$HOME` says, and resolves no relative path inside that file; without a path it reads `$KUBECONFIG`, else
`~/.kube/config` below `$HOME`, as client-go does. Source: provider.go and pkg/clients of pulumi-kubernetes 4.25,
clientcmd/loader.go and clientcmd/validation.go of client-go 0.34.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from lightkube import KubeConfig
from lightkube.config.kubeconfig import SingleConfig

from config.files.file_text import check, read_text
from config.files.yaml_text import load_kubeconfig
from config.finding import UserError, visible
from mignet.kube.credentials import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.cluster import Cluster

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
PROXY_SCHEMES = ("http://", "https://")

MOST_BYTES = 8 << 20
"""Of a kubeconfig: one of a thousand clusters with their certificates has six million."""
_FILES_OF_CLUSTERS = ("certificate-authority",)
_FILES_OF_USERS = ("client-certificate", "client-key", "tokenFile")


class KubeconfigError(UserError):
    """A kubeconfig cannot be used: one sentence that names the key, and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))


@dataclass(frozen=True, slots=True)
class Connection:
    """One context of a kubeconfig, with what lightkube does not know of."""

    single: SingleConfig
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    """Impersonation: sent with every request."""
    proxy: str | None = None
    """URL of the proxy for this cluster, instead of the environment's."""
    server_name: str | None = None
    """Name that the server's certificate must have, instead of the one in its address."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A cluster, user or context, and the file that it stands in."""

    value: dict[str, Any]
    file: Path


@dataclass(frozen=True, slots=True)
class _Context:
    """What a refusal names: the context, and the file of the entry at fault."""

    name: str
    file: Path

    def refuse(self, key: str, reason: str, remedy: str) -> KubeconfigError:
        return KubeconfigError(f"context {self.name} of kubeconfig {self.file}: {key} {reason}; {remedy}")


PULUMI_ENVIRONMENT = "pulumi-environment.json"
"""The file beside a kubeconfig with environment variables for Pulumi on its clusters: the lab writes one."""


def path_of(config: Cluster, base: Path) -> Path | None:
    """Return the kubeconfig that a stack names, as Pulumi's provider finds it; None when the stack names none.

    Raises KubeconfigError when `~` leads nowhere: this account has no home in the system's list of accounts.
    """
    if config.kubeconfig is None:
        return None
    if not config.kubeconfig.startswith("~/"):
        return base / config.kubeconfig
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError as error:
        msg = (
            f"kubeconfig {config.kubeconfig} begins with ~, and account {os.getuid()} has no home; write the whole path"
        )
        raise KubeconfigError(msg) from error
    return Path(home, config.kubeconfig[2:])


def connection(config: Cluster, base: Path) -> Connection:
    """Return how to reach a stack's cluster. Raises KubeconfigError when that is not certain, or not supported."""
    named = path_of(config, base)
    paths = _default_paths(base) if named is None else [named]
    try:
        return _connection(config, paths, named)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Another kind of value where a text, a list or a mapping belongs, anywhere in it.
        raise KubeconfigError(f"kubeconfig {', '.join(map(str, paths))} cannot be read: {unreadable(error)}") from error


def _connection(config: Cluster, paths: list[Path], named: Path | None) -> Connection:
    contexts, clusters, users = _merged(paths)
    entry = contexts.get(config.context)
    if entry is None:
        raise KubeconfigError(_nowhere(config, paths))
    context = _Context(config.context, entry.file)
    cluster = clusters.get(entry.value.get("cluster") or "")
    user_name = entry.value.get("user") or ""
    user = users.get(user_name) if user_name else _Entry({}, entry.file)
    if cluster is None or user is None:
        msg = f"context {config.context} of kubeconfig {entry.file} is not complete: it names a cluster or user"
        raise KubeconfigError(f"{msg} that is not there")
    told = _resolved(cluster, "cluster", _FILES_OF_CLUSTERS, context, resolves=named is None)
    own = _resolved(user, "user", _FILES_OF_USERS, context, resolves=named is None)
    for problem in (*_of_cluster(told, context), *_of_user(own, context)):
        raise problem
    plugin = own.pop("exec", None)
    if plugin:
        own["exec"] = _plugin(plugin, user.file, context, resolves=named is None)
    content = {
        "contexts": [{"name": config.context, "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": told}],
        "users": [{"name": "u", "user": own}],
    }
    try:
        read = KubeConfig.from_dict(content, fname=entry.file)
        single = SingleConfig(
            config.context, read.contexts[config.context], read.clusters["c"], read.users["u"], entry.file
        )
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise KubeconfigError(f"kubeconfig {entry.file} cannot be read: {unreadable(error)}") from error
    return Connection(
        single,
        headers=dict(_impersonation(own)),
        proxy=told.get("proxy-url"),
        server_name=told.get("tls-server-name"),
    )


def _default_paths(base: Path) -> list[Path]:
    """Return the files of `$KUBECONFIG`, else the default one. Raises KubeconfigError where Pulumi may take others."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    relative = next((part for part in listed if not Path(part).is_absolute()), None)
    if relative is not None and Path.cwd() != base.resolve():
        msg = f"kubeconfig {relative} of $KUBECONFIG is a relative path, which Pulumi reads from the project's folder"
        raise KubeconfigError(f"{msg}; write the whole path")
    if listed:
        return [Path(part) for part in listed]
    home = os.environ.get("HOME", "")
    if not home:
        msg = "kubeconfig ~/.kube/config is not found: neither $KUBECONFIG nor $HOME is set"
        raise KubeconfigError(f"{msg}; set one, or cluster.kubeconfig")
    return [Path(home, ".kube", "config")]


def _nowhere(config: Cluster, paths: list[Path]) -> str:
    searched = ", ".join(map(str, paths))
    if not any(path.is_file() for path in paths):
        remedy = "correct cluster.kubeconfig" if config.kubeconfig else "set cluster.kubeconfig or $KUBECONFIG"
        return f"kubeconfig {searched} does not exist; {remedy}"
    return f"context {config.context} is not in kubeconfig {searched}; log in, or correct it"


_Entries = dict[str, _Entry]


def _merged(paths: list[Path]) -> tuple[_Entries, _Entries, _Entries]:
    """Return contexts, clusters and users by name; of two of one name, the first file's counts, as a whole."""
    there = []
    for path in paths:
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise KubeconfigError(f"kubeconfig {path} cannot be read: {unreadable(error)}") from error
        there.append((path, (stat.st_mtime_ns, stat.st_size)))
    return _merged_once(tuple(there))


@lru_cache(maxsize=64)
def _merged_once(files: tuple[tuple[Path, tuple[int, int]], ...]) -> tuple[_Entries, _Entries, _Entries]:
    """Merge files once for all the stacks that name them; each file with what tells one state of it from another."""
    contexts: _Entries = {}
    clusters: _Entries = {}
    users: _Entries = {}
    for path, _ in files:
        try:
            content = _read(path)
            for section, key, into in (
                ("contexts", "context", contexts),
                ("clusters", "cluster", clusters),
                ("users", "user", users),
            ):
                for each in content.get(section) or ():
                    into.setdefault(str(each["name"]), _Entry(_given(each.get(key) or {}), path))
        except FileNotFoundError:
            continue
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise KubeconfigError(f"kubeconfig {path} cannot be read: {unreadable(error)}") from error
    return contexts, clusters, users


def _read(path: Path) -> dict[str, Any]:
    content = load_kubeconfig(read_text(path, most=MOST_BYTES))
    if content is not None and not isinstance(content, dict):
        raise TypeError
    return content or {}


def _given(value: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that say something: client-go takes an empty text for none."""
    return {key: each for key, each in value.items() if each not in (None, "", [], {})}


def _resolved(entry: _Entry, kind: str, files: tuple[str, ...], context: _Context, *, resolves: bool) -> dict[str, Any]:
    """Return an entry with whole paths. Raises KubeconfigError for one that Pulumi's provider would not find."""
    value = dict(entry.value)
    for key in files:
        path = value.get(key)
        # Not its value: who mixes tokenFile up with token has written a secret here.
        if isinstance(path, str) and not Path(path).is_absolute():
            if not resolves:
                raise context.refuse(
                    f"{kind}.{key}", "is a relative path, which Pulumi's provider does not find", "write the whole path"
                )
            value[key] = str(entry.file.absolute().parent / path)
        if isinstance(path, str):
            with contextlib.suppress(FileNotFoundError):
                _refuse_unreadable(Path(value[key]), f"{kind}.{key}", context)
    return value


def _refuse_unreadable(path: Path, key: str, context: _Context) -> None:
    """Raise KubeconfigError for what would be waited for, or has no end; FileNotFoundError stays what it is."""
    try:
        check(path, path.stat())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise context.refuse(key, f"cannot be read: {error.strerror}", "name a file") from error


def _of_cluster(cluster: dict[str, Any], context: _Context) -> Iterator[KubeconfigError]:
    """Yield what kubectl refuses of a cluster, and what we have nothing for."""
    if "server" not in cluster:
        yield context.refuse("cluster.server", "is missing", "write the API server's URL")
    authority = next((key for key in ("certificate-authority", "certificate-authority-data") if key in cluster), None)
    if cluster.get("insecure-skip-tls-verify") and authority:
        yield context.refuse(
            f"cluster.{authority}", "and insecure-skip-tls-verify exclude each other, for kubectl too", "keep one"
        )
    if {"certificate-authority", "certificate-authority-data"} <= cluster.keys():
        key = "cluster.certificate-authority"
        yield context.refuse(key, "and certificate-authority-data exclude each other, for kubectl too", "keep one")
    proxy = cluster.get("proxy-url")
    if proxy is not None and not str(proxy).startswith(PROXY_SCHEMES):
        scheme = str(proxy).partition("://")[0] if "://" in str(proxy) else "no URL"
        yield context.refuse("cluster.proxy-url", f"is {scheme}; http and https are supported", "name such a proxy")
    if proxy is not None and "tls-server-name" in cluster:
        yield context.refuse(
            "cluster.tls-server-name", "together with proxy-url is not supported", "use a name of the certificate"
        )


def _of_user(user: dict[str, Any], context: _Context) -> Iterator[KubeconfigError]:
    """Yield what kubectl refuses of a user, and what we have nothing for."""
    if "auth-provider" in user:
        remedy = "use an exec plugin (kubelogin for OIDC), or log in again with a current oc or kubectl"
        yield context.refuse("user.auth-provider", "was taken out of kubectl in 1.26", remedy)
    if "username" in user and ("token" in user or "tokenFile" in user):
        yield context.refuse("user.token", "and username exclude each other, for kubectl too", "keep one")
    if ("username" in user) != ("password" in user):
        have, lack = ("username", "password") if "username" in user else ("password", "username")
        yield context.refuse(f"user.{have}", f"has no {lack}", f"add {lack}")
    for text in ("client-certificate", "client-key"):
        if {text, f"{text}-data"} <= user.keys():
            yield context.refuse(f"user.{text}", f"and {text}-data exclude each other, for kubectl too", "keep one")
    certificate = {"client-certificate", "client-certificate-data"} & user.keys()
    if bool(certificate) != bool({"client-key", "client-key-data"} & user.keys()):
        have, lack = ("client-certificate", "client-key") if certificate else ("client-key", "client-certificate")
        yield context.refuse(f"user.{have}", f"has no {lack}", f"add {lack} or {lack}-data")
    others = [key for key in ("as-uid", "as-groups", "as-user-extra") if key in user]
    if others and "as" not in user:
        yield context.refuse(f"user.{others[0]}", "needs a user to act as, for kubectl too", "add as")


def _plugin(plugin: dict[str, Any], file: Path, context: _Context, *, resolves: bool) -> dict[str, Any]:
    """Return an exec plugin as lightkube runs it. Raises KubeconfigError when kubectl or we could not."""
    version, command = plugin.get("apiVersion"), plugin.get("command")
    if version not in EXEC_VERSIONS:
        raise context.refuse("user.exec.apiVersion", f"is {version or 'missing'}", f"use {' or '.join(EXEC_VERSIONS)}")
    if not command:
        raise context.refuse("user.exec.command", "is missing", "name the plugin")
    mode = plugin.get("interactiveMode")
    if mode is None and version == EXEC_VERSIONS[0]:
        raise context.refuse("user.exec.interactiveMode", "is missing, which v1 demands", "write IfAvailable or Never")
    if mode == "Always":
        raise context.refuse("user.exec.interactiveMode", "is Always, and nobody is asked here", "log in beforehand")
    if os.sep in command and not Path(command).is_absolute():
        if not resolves:
            reason = "is a relative path, which Pulumi's provider does not find"
            raise context.refuse("user.exec.command", reason, "write the whole path")
        command = str(file.absolute().parent / command)
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = [*(plugin.get("env") or ()), {"name": "KUBERNETES_EXEC_INFO", "value": json.dumps(info)}]
    # For a token, v1 differs from v1beta1 in its name only, and lightkube knows that one.
    return plugin | {"apiVersion": EXEC_VERSIONS[1], "command": command, "env": environment}


def _impersonation(user: dict[str, Any]) -> Iterator[tuple[str, str | list[str]]]:
    """Yield the headers of `as` and its siblings. Source: transport/round_trippers.go of client-go."""
    for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid"), ("as-groups", "Impersonate-Group")):
        if key in user:
            yield header, user[key] if key == "as-groups" else str(user[key])
    for name, values in (user.get("as-user-extra") or {}).items():
        yield f"Impersonate-Extra-{name}", values
