"""Which faults the stand-ins for the operators show: a ConfigMap that they watch, and that anybody may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mignet.lab.errors import LabError
from mignet.lab.operators import faults
from mignet.lab.operators.cluster_view import SWITCHBOARD
from mignet.lab.operators.supervisor import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mignet.kube.kinds import Object
    from mignet.lab.lab import Lab

MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


class Switchboard:
    """The faults of one cluster of a lab. Raises LabError when the lab has no such cluster, or it does not answer."""

    known = faults.ALL
    """Each fault, and what it does in one line."""

    def __init__(self, lab: Lab, cluster: str) -> None:
        self.cluster = cluster
        self._lab = lab

    def on(self) -> dict[str, str]:
        """Return the faults that are on, and what they are about."""
        answer = self._call("GET", f"{MAPS}/{SWITCHBOARD}")
        return dict((answer or {}).get("data") or {})

    def switch_on(self, names: Sequence[str]) -> None:
        """Switch faults on, each `NAME` or `NAME=ABOUT`; those that are on stay on."""
        wanted = {name: about for name, _, about in (text.partition("=") for text in names)}
        for name in wanted:
            if name not in self.known:
                msg = f"there is no fault {name}; `mignet lab fault` lists them"
                raise LabError(msg)
            if name in faults.ON_THE_FABRIC and not self._lab.has_dataplane:
                msg = f"{name} is about the data plane, and this lab has none: run `mignet lab up --dataplane`"
                raise LabError(msg)
        data = self.on() | wanted
        body = {"metadata": {"name": SWITCHBOARD, "namespace": NAMESPACE}, "data": data}
        if self._call("PUT", f"{MAPS}/{SWITCHBOARD}", body) is None:
            self._call("POST", MAPS, body)

    def heal(self) -> None:
        """Switch all faults off."""
        self._call("DELETE", f"{MAPS}/{SWITCHBOARD}")

    def _call(self, method: str, path: str, body: Object | None = None) -> Object | None:
        import httpx2

        try:
            with self._lab.client(self.cluster) as client:
                answer = client.request(method, path, json=body)
        except (httpx2.TransportError, OSError) as error:
            msg = f"{self.cluster} does not answer: {error}; run `mignet lab up`"
            raise LabError(msg) from error
        if answer.status_code == 404:
            return None
        if answer.is_error:
            msg = f"{self.cluster} answered {method} {path} with {answer.status_code}: {answer.text}"
            raise LabError(msg)
        found: Object = answer.json()
        return found
