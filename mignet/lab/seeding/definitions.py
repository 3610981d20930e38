"""The CustomResourceDefinitions that the lab serves: slim ones of our own, or the real ones from a folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mignet.lab.errors import LabError

SLIM = Path(__file__).parents[1] / "crds"
"""Our own: the fields that a migration network touches, with the operators' real defaults."""

VARIABLE = "MIGNET_LAB_CRDS"
"""Names a folder of real definitions, files `*.crd.yaml`."""

HYPERCONVERGED = "hyperconvergeds.hco.kubevirt.io"

Definition = dict[str, Any]


def folder_from_environment() -> Path | None:
    """Return the folder that `MIGNET_LAB_CRDS` names, None when it is unset or empty."""
    value = os.environ.get(VARIABLE, "")
    return Path(value) if value else None


def load(folder: Path, *, hco_release: str) -> list[Definition]:
    """Return the definitions in the files `*.crd.yaml` of `folder`, and the slim ones of what is missing there.

    Of several files that define the same resource, the one called `*-<hco_release>.crd.yaml` counts. Webhooks that
    convert between versions are taken out: no operator is there to answer. Raises LabError when `folder` has no such
    file, or none of that release.
    """
    found: dict[str, dict[Path, Definition]] = {}
    for source in (folder,) if folder == SLIM else (folder, SLIM):
        known = set(found)
        for path, definition in _read(source):
            name = definition["metadata"]["name"]
            if name not in known:
                found.setdefault(name, {})[path] = definition
    return [_of_release(files, hco_release) for files in found.values()]


def storage_version(definition: Definition) -> str:
    """Return the version in which objects of `definition` are stored."""
    return next(str(version["name"]) for version in definition["spec"]["versions"] if version["storage"])


def _read(folder: Path) -> Iterator[tuple[Path, Definition]]:
    import yaml

    paths = sorted(folder.glob("*.crd.yaml"))
    if not paths:
        msg = f"{folder} has no files *.crd.yaml; set {VARIABLE} to a folder that has, or unset it for the slim ones"
        raise LabError(msg)
    # Ten times as fast as Python's own, where PyYAML was built with it: real definitions have ten thousand lines.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in paths:
        try:
            documents = list(yaml.load_all(path.read_bytes(), Loader=loader))
        except yaml.YAMLError as error:
            msg = f"{path} is not YAML: {' '.join(str(error).split())}"
            raise LabError(msg) from error
        for document in documents:
            if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition":
                document["spec"].pop("conversion", None)
                yield path, document


def _of_release(files: dict[Path, Definition], release: str) -> Definition:
    if len(files) == 1:
        return next(iter(files.values()))
    for path, definition in files.items():
        if path.name.endswith(f"-{release}.crd.yaml"):
            return definition
    msg = f"none of {', '.join(path.name for path in files)} is of release {release}; choose one of theirs"
    raise LabError(msg)
