"""One control plane for the whole session, a namespace for every test, and a word at the end on what was left out."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from e2e.support.accounts import make_namespace
from e2e.support.api import Api
from e2e.support.control_plane import ControlPlane, running_control_plane
from e2e.support.kubectl import Kubectl
from e2e.support.programs import SHORTLY, NoControlPlane, Programs, building, find_programs
from e2e.support.stand import running_provider
from tests.support.upstreams import Upstream

CRDS = Path(__file__).parents[2] / "crds"
_NUMBERS = itertools.count(1)
_PROGRAMS = pytest.StashKey[Programs | NoControlPlane]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find, or build, the programs before the first test, whose time is limited."""
    if not config.option.collectonly and any(item.path.is_relative_to(Path(__file__).parent) for item in items):
        try:
            config.stash[_PROGRAMS] = find_programs()
        except NoControlPlane as missing:
            config.stash[_PROGRAMS] = missing


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Programs:
    """etcd, kube-apiserver and, where there is one, kube-controller-manager.

    Without them a test is skipped, but where they were to be built, it fails.
    """
    found = pytestconfig.stash[_PROGRAMS]
    if isinstance(found, NoControlPlane):
        (pytest.fail if building() else pytest.skip)(SHORTLY)
    return found


@pytest.fixture(scope="session")
def control_plane(programs: Programs) -> Iterator[ControlPlane]:
    """Running, with our CRDs. A test that kills a part of it starts that part again."""
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    with running_control_plane(programs, definitions) as plane:
        yield plane


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Api:
    """The API as somebody who may do everything."""
    return control_plane.admin


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    """A provider for the module's routes, which keeps what it receives."""
    with running_provider("up") as upstream:
        yield upstream


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A fresh one; in the end it has no objects of ours any more."""
    name = fresh_name("t")
    make_namespace(control_plane.admin, name)
    yield name
    clear(control_plane.admin, name)


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Kubectl:
    """The command line in the test's namespace."""
    config = control_plane.kubeconfig(tmp_path / "kubectl.yaml", control_plane.admin.token, namespace=namespace)
    return Kubectl(config)


@pytest.fixture(autouse=True)
def _fit(request: pytest.FixtureRequest) -> None:
    """Skip what this control plane is too old or too small for."""
    for mark, (fits, reason) in _NEEDS.items():
        if request.node.get_closest_marker(mark):
            programs = request.getfixturevalue("programs")
            if not fits(programs):
                pytest.skip(f"{mark}: {reason} (this is {'.'.join(map(str, programs.version))})")


_NEEDS: Mapping[str, tuple[Callable[[Programs], bool], str]] = {
    "needs_cel": (lambda programs: programs.has_cel, "CEL rules are checked from Kubernetes 1.25 on"),
    "needs_kcm": (
        lambda programs: programs.controller_manager is not None,
        "no kube-controller-manager is beside kube-apiserver; e2e/control-plane.sh builds one",
    ),
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which control plane it was, and what it could not show."""
    found = config.stash.get(_PROGRAMS, None)
    if found is None:
        return
    terminalreporter.section("control plane")
    if isinstance(found, NoControlPlane):
        terminalreporter.write_line(str(found))
        return
    terminalreporter.write_line(f"Kubernetes {'.'.join(map(str, found.version))} from {found.apiserver.parent}")
    for report in terminalreporter.stats.get("skipped", ()):
        if isinstance(report.longrepr, tuple):
            terminalreporter.write_line(f"left out: {report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}")


def fresh_name(prefix: str) -> str:
    """A name that no other test has."""
    return f"{prefix}-{next(_NUMBERS)}"


def clear(api: Api, namespace: str) -> None:
    """Delete what an operator of another test would read."""
    for kind in ("LLMRoute", "LLMBackend"):
        api.delete_all(kind, namespace)
