"""A control plane and a node for its pods, both for the whole session; a release for a module or a test."""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from e2e.support.api import Object
from e2e.support.control_plane import ControlPlane, running_control_plane
from e2e.support.helm import HELM_4, RELEASES, NoHelm, Release, find_helm
from e2e.support.pod_node import running_node, why_no_node
from e2e.support.pods import PodHost, running_pods
from e2e.support.programs import SHORTLY, NoControlPlane, Programs, building, find_programs
from e2e.support.release import CHART, Installed, release
from tests.support.waiting import until

_NUMBERS = itertools.count(1)
#: Makes a release in a namespace of its own; with another helm than 4 if that is given.
NewRelease = Callable[..., AbstractContextManager[Installed]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Build and fetch what is missing before the first test, whose time is limited."""
    if building() and not config.option.collectonly and any(_is_ours(item) for item in items):
        find_programs()
        for each in RELEASES:
            find_helm(each)


@pytest.fixture(scope="session")
def chart_programs() -> Programs:
    """A control plane's, with kube-controller-manager, which makes pods of Deployments."""
    try:
        found = find_programs()
        for each in RELEASES:
            find_helm(each)
    except NoControlPlane:
        pytest.skip(SHORTLY)
    except NoHelm as missing:
        pytest.skip(str(missing))
    if found.controller_manager is None:
        pytest.skip(
            "no kube-controller-manager beside kube-apiserver, so Deployments have no pods: e2e/control-plane.sh"
        )
    if reason := why_no_node():
        pytest.skip(reason)
    if not CHART.exists():
        pytest.skip(f"{CHART} is not there")
    if CHART.is_relative_to("/tmp") or CHART.is_relative_to("/run"):
        pytest.skip(f"{CHART} is in a folder that pods have of their own, so theirs hides our Python from them")
    return found


@pytest.fixture(scope="session")
def plane(chart_programs: Programs) -> Iterator[ControlPlane]:
    """Without our CRDs: those are the chart's to bring."""
    with running_control_plane(chart_programs, []) as running:
        yield running


@pytest.fixture(scope="session")
def host(plane: ControlPlane) -> Iterator[PodHost]:
    """Runs every pod that there is."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e-pods-") as folder,
        running_node(Path(folder)) as node,
        running_pods(plane.admin, node, plane.port) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def new_release(plane: ControlPlane, host: PodHost, tmp_path_factory: pytest.TempPathFactory) -> NewRelease:
    """Releases, as many as one likes."""

    def new(version: Release = HELM_4) -> AbstractContextManager[Installed]:
        return release(plane, host, tmp_path_factory.mktemp("release"), f"c{next(_NUMBERS)}", version)

    return new


@contextmanager
def defined(plane: ControlPlane, definitions: Sequence[Object]) -> Iterator[None]:
    """Kinds of others, for a while; until they are gone, as the next test may have others by the same name."""
    api, kind = plane.admin, "CustomResourceDefinition"
    names = [each["metadata"]["name"] for each in definitions]
    plane.define(definitions)
    try:
        yield
    finally:
        for name in names:
            api.delete(kind, None, name)
        until(lambda: not any(api.maybe_get(kind, None, name) for name in names), f"{names} stay", 60)


def _is_ours(item: pytest.Item) -> bool:
    return item.path.is_relative_to(Path(__file__).parent)
