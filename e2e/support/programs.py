"""Where etcd, kube-apiserver and kube-controller-manager come from."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "control-plane.sh"
#: envtest's own default.
_ENVTEST = Path("/usr/local/kubebuilder/bin")
_BUILD_LIMIT_S = 1800

#: In one line, for each test that is left out.
SHORTLY = "no Kubernetes control plane (KUBEBUILDER_ASSETS, TEST_ASSET_*, e2e/control-plane.sh, E2E_BUILD=1: see below)"
MISSING = f"""\
no Kubernetes control plane: this test needs etcd and kube-apiserver (and, for some, kube-controller-manager). Either
  KUBEBUILDER_ASSETS=FOLDER       a folder with them, such as `setup-envtest use -p path` prints
  TEST_ASSET_ETCD=FILE and TEST_ASSET_KUBE_APISERVER=FILE (and TEST_ASSET_KUBE_CONTROLLER_MANAGER=FILE), one by one
  {_ENVTEST}      envtest's default folder, used when it is there
  e2e/control-plane.sh            on Debian (amd64): builds them into ~/.cache once, about four minutes, without root
  E2E_BUILD=1                     the same, before the first test; `make e2e` sets it unless it is told E2E_BUILD=0"""


class NoControlPlane(Exception):
    """Nowhere to be found; says what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The three programs. ``controller_manager`` is None where only envtest's two are there."""

    etcd: Path
    apiserver: Path
    controller_manager: Path | None
    #: Of Kubernetes: (1, 20).
    version: tuple[int, int]

    @property
    def has_cel(self) -> bool:
        """Whether this server keeps and checks ``x-kubernetes-validations`` (1.25 and later)."""
        return self.version >= (1, 25)


def find_programs(environment: Mapping[str, str] = os.environ) -> Programs:
    """The first of the places in ``MISSING`` that has them. Raises ``NoControlPlane``.

    With ``E2E_BUILD=1`` in the environment this may take minutes.
    """
    named = {name: environment.get(f"TEST_ASSET_{name.upper().replace('-', '_')}") for name in _NAMES}
    folder = environment.get("KUBEBUILDER_ASSETS")
    if folder or all(named[name] for name in _NEEDED):
        return _programs({name: Path(named[name] or Path(folder or "/nonexistent") / name) for name in _NAMES})
    cached = _cached(environment)
    if (cached / ".ok").exists():
        return _programs({name: cached / name for name in _NAMES})
    if all((_ENVTEST / name).exists() for name in _NEEDED):
        return _programs({name: _ENVTEST / name for name in _NAMES})
    if building(environment):
        built = subprocess.run([RECIPE], check=False, stdout=subprocess.PIPE, text=True, timeout=_BUILD_LIMIT_S)
        if built.returncode:
            raise NoControlPlane(f"{RECIPE} failed with exit code {built.returncode}, see above\n{MISSING}")
        return _programs({name: Path(built.stdout.strip()) / name for name in _NAMES})
    raise NoControlPlane(MISSING)


def building(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is not there is to be built."""
    return environment.get("E2E_BUILD") == "1"


_NEEDED = ("etcd", "kube-apiserver")
_NAMES = (*_NEEDED, "kube-controller-manager")


def _cached(environment: Mapping[str, str]) -> Path:
    recipe = re.search(r"^RECIPE=(\S+)$", RECIPE.read_text(), re.MULTILINE)
    assert recipe is not None
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "e2e-control-plane" / recipe[1] / "bin"


def _programs(paths: Mapping[str, Path]) -> Programs:
    etcd, apiserver, controller_manager = (paths[name] for name in _NAMES)
    for path in (etcd, apiserver):
        if not path.exists():
            raise NoControlPlane(f"{path} is not there\n{MISSING}")
    said = subprocess.run([apiserver, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    version = re.search(r"v(\d+)\.(\d+)", said)
    if version is None:
        raise NoControlPlane(f"{apiserver} --version says {said!r}\n{MISSING}")
    major, minor = int(version[1]), int(version[2])
    return Programs(etcd, apiserver, controller_manager if controller_manager.exists() else None, (major, minor))
