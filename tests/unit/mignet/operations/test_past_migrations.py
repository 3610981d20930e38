"""Dirty rates out of Prometheus: a real one where it is installed, with the metrics of one migration."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.finding import ConfigError
from mignet.operations.past_migrations import measured

MIB = 2**20
MEMORY, BANDWIDTH, DIRTY = 8192 * MIB, 200 * MIB, 50 * MIB
METRIC = "kubevirt_vmi_migration_data_{}_bytes"
MACHINE = '{namespace="shop",name="web-0",node="worker-1"}'


def samples(begin: int) -> str:
    """Return what KubeVirt tells in a migration of a minute, an hour ago, as it is scraped each 15 seconds."""
    rows = []
    for name in ("processed", "remaining"):
        rows.append(f"# TYPE {METRIC.format(name)} gauge")
        for second in range(0, 61, 15):
            sent = BANDWIDTH * second
            value = sent if name == "processed" else MEMORY + DIRTY * second - sent
            rows.append(f"{METRIC.format(name)}{MACHINE} {value} {begin + second}")
    return "\n".join([*rows, "# EOF", ""])


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A Prometheus that holds the samples; its address."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("needs prometheus and promtool on PATH")
    (tmp_path / "samples").write_text(samples(int(time.time()) - 3600))
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    data = str(tmp_path / "data")
    make = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "samples"), data]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ["--storage.tsdb.retention.time=30d", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not ready(f"http://{address}/-/ready"):
                assert time.monotonic() < end
                time.sleep(0.1)
            yield f"http://{address}"
        finally:
            process.kill()


def ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_real_prometheus_tells_how_fast_a_guest_wrote(prometheus: str) -> None:
    found = measured(prometheus)
    assert found.keys() == {"shop/web-0"}
    assert found["shop/web-0"].rate.high == pytest.approx(DIRTY, rel=0.01)
    assert 0 < found["shop/web-0"].rate.low <= DIRTY


def test_an_address_that_is_none_is_a_mistake() -> None:
    for url in ("", "prometheus", "file:///etc/passwd", "http://", "http://127.0.0.1:1"):
        with pytest.raises(ConfigError, match="does not answer as Prometheus does"):
            measured(url)
