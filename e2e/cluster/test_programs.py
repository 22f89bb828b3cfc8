"""Where the control plane's programs are looked for, and what is said when they are nowhere."""

from pathlib import Path

import pytest

from e2e.support.programs import MISSING, RECIPE, NoControlPlane, find_programs

ALL = ("etcd", "kube-apiserver", "kube-controller-manager")


def assets(folder: Path, *names: str, version: str = "1.34.1") -> Path:
    """A folder with programs that can say their version and nothing else."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho Kubernetes v{version}\n")
        (folder / name).chmod(0o755)
    return folder


def test_envtests_folder_comes_first(tmp_path: Path) -> None:
    """KUBEBUILDER_ASSETS wins over the cache; it has no kube-controller-manager, and its server knows CEL."""
    cache = tmp_path / "cache/e2e-control-plane/k8s-1.20.2-r2/bin"
    assets(cache, *ALL, version="1.20.2")
    (cache / ".ok").touch()
    folder = assets(tmp_path / "envtest", *ALL[:2])

    found = find_programs({"KUBEBUILDER_ASSETS": str(folder), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert (found.etcd.parent, found.controller_manager) == (folder, None)
    assert (found.version, found.has_cel) == ((1, 34), True)

    found = find_programs({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert found.controller_manager == cache / "kube-controller-manager"
    assert (found.version, found.has_cel) == ((1, 20), False)


def test_single_programs_can_be_named(tmp_path: Path) -> None:
    """TEST_ASSET_* name one program each, beside a folder or without one."""
    folder, other = assets(tmp_path / "envtest", *ALL), assets(tmp_path / "other", *ALL, version="1.31.0")

    beside = {"KUBEBUILDER_ASSETS": str(folder), "TEST_ASSET_KUBE_APISERVER": str(other / "kube-apiserver")}
    assert find_programs(beside).version == (1, 31)
    alone = {f"TEST_ASSET_{name.upper().replace('-', '_')}": str(other / name) for name in ALL[:2]}
    assert find_programs(alone).etcd == other / "etcd"


@pytest.mark.parametrize("word", ["KUBEBUILDER_ASSETS", "TEST_ASSET_ETCD", "control-plane.sh", "E2E_BUILD=1"])
def test_nowhere_is_told_with_every_way_out(tmp_path: Path, word: str) -> None:
    """Without any of them the message names all that can be done."""
    with pytest.raises(NoControlPlane, match=word):
        find_programs({"KUBEBUILDER_ASSETS": str(tmp_path)})
    assert word in MISSING


def test_the_recipe_and_its_sums_belong_together() -> None:
    """The sums are of what the recipe makes: its three programs, and the packages that it makes them from."""
    lines = [line.split() for line in RECIPE.with_suffix(".sha256").read_text().splitlines()]

    assert {name for _, name in lines if name.startswith("bin/")} == {f"bin/{name}" for name in ALL}
    assert len([name for _, name in lines if name.startswith("work/inputs/")]) == 5
    assert all(len(digest) == 64 for digest, _ in lines)
