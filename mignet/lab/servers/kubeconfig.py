"""The kubeconfig through which everybody reaches the lab's clusters."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path


def render(ports: Mapping[str, int], *, certificates: Path) -> bytes:
    """Return a kubeconfig with a context for each cluster in `ports`, all named after it; the first one is current.

    It holds the administrators' credentials themselves, so that it works wherever it is copied to on this machine.
    """

    def read(cluster: str, file: str) -> str:
        return base64.b64encode((certificates / cluster / file).read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(ports)),
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in ports],
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority-data": read(name, "ca.crt"),
                },
            }
            for name, port in ports.items()
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": read(name, "admin.crt"),
                    "client-key-data": read(name, "admin.key"),
                },
            }
            for name in ports
        ],
    }
    # JSON is YAML, and needs no library.
    return json.dumps(config, indent=2).encode()
