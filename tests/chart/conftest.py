"""Helm, where it was fetched."""

from pathlib import Path

import pytest

from e2e.support.helm import HELM_3, HELM_4, Helm, NoHelm, Release, find_helm


def _helm(release: Release, home: Path) -> Helm:
    try:
        return Helm(find_helm(release), home)
    except NoHelm as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4."""
    return _helm(HELM_4, tmp_path_factory.mktemp("helm-4"))


@pytest.fixture(scope="session", params=[HELM_4, HELM_3], ids=lambda release: f"helm-{release.major}")
def either_helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Each of the two that are in use."""
    return _helm(request.param, tmp_path_factory.mktemp("helm"))
