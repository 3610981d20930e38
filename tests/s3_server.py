"""An S3-compatible server on loopback, for tests of state backends: versitygw over a folder."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
from support import ROOT

from mignet.lab import binaries

MODULE = ROOT / "tools" / "s3"
PACKAGES = {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}
KEYS = {"AWS_ACCESS_KEY_ID": "fleet", "AWS_SECRET_ACCESS_KEY": "of-this-test-alone"}
PATIENCE = 30.0
"""Seconds for the server to answer."""


@dataclass(frozen=True)
class Bucket:
    """A bucket of that server; `folder` is where its objects are."""

    url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return what Pulumi needs to keep its state there."""
        # The server sends no checksums, which Pulumi else warns of each time.
        return {**KEYS, "PULUMI_BACKEND_URL": self.url, "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Bucket]:
    """Serve a bucket out of a new folder; the program is built into the cache the first time."""
    program = binaries.built("s3", MODULE, PACKAGES, lambda _: None) / "versitygw"
    bucket = folder / "state"
    bucket.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {"ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
    command = [program, "--port", f"127.0.0.1:{port}", "--health", "/health", "posix", "--nometa", folder]
    with subprocess.Popen(command, env=os.environ | keys, stdout=subprocess.DEVNULL) as process:
        try:
            _wait(process, f"http://127.0.0.1:{port}/health")
            query = f"region=us-east-1&endpoint=http://127.0.0.1:{port}&use_path_style=true"
            yield Bucket(f"s3://state/fleet?{query}", bucket / "fleet")
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, f"the S3 server ended with {process.returncode}"
        assert time.monotonic() < deadline, "the S3 server does not answer"
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(url, trust_env=False).is_success:
                return
        time.sleep(0.02)
