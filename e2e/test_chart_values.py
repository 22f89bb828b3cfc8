"""Every value of the chart does something: each is changed by itself, and what is rendered changes with it."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
import yaml

from e2e.conftest import Tell
from e2e.support.helm import HELM_4, Helm, NoHelm, find_helm
from tests.support.chart import CHART, template
from tests.support.chart_values import EVERYTHING, SETS, Values

Place = tuple[str, ...]

#: Where another value is not made by rule.
_OTHERS: Mapping[str, Any] = {
    "nameOverride": "other",
    "fullnameOverride": "other",
    "listenAddress": "::",
    "ipFamilyPolicy": "SingleStack",
    "ipFamilies": ["IPv6"],
    "podSecurityContext": {"runAsUser": 7},
    "containerSecurityContext": {"privileged": False},
    "ambientCredentials": ["other"],
    "pathPrefix": "/other",
    "logLevel": "error",
    "logFormat": "text",
    "pullPolicy": "Always",
    "pullSecrets": ["other"],
    "mode": "EnvoyGateway",
    "namespaces": ["other"],
    "digest": f"sha256:{'1' * 64}",
    "placement": "Sidecar",
    "type": "NodePort",
    "externalTrafficPolicy": "Cluster",
    "loadBalancerSourceRanges": ["10.1.0.0/16"],
    "secrets": "Cluster",
    "secretNames": [{"namespace": "other", "names": ["other"]}],
    "interval": "7s",
    "caCertificates": "/other.crt",
    "extraEnv": [{"name": "OTHER", "value": "other"}],
    "extraVolumes": [{"name": "other", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "other", "mountPath": "/other"}],
    "tolerations": [{"key": "other", "operator": "Exists"}],
    "affinity": {"podAffinity": {}},
    "topologySpreadConstraints": [],
    "proxies": [{"podSelector": {"matchLabels": {"other": "other"}}}],
    "monitoring": [{"podSelector": {"matchLabels": {"other": "other"}}}],
    "clients": [{"podSelector": {"matchLabels": {"other": "other"}}}],
    "resources": {"requests": {"cpu": "7"}},
    "maxUnavailable": "50%",
}
#: What decides nothing unless something else is so: the set of values in which it does.
_IN = {
    ("gateway", "envoyGateway", "keepRights"): {},
    ("gateway", "envoyGateway"): SETS["envoy-gateway"],
    ("operator", "image", "digest"): {},
    ("image", "tag"): {},
    ("extproc", "replicas"): {},
    ("extproc", "keepDeployment"): SETS["sidecar"],
    ("extproc", "image", "repository"): {},
    ("envoy", "replicas"): {},
}


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4."""
    try:
        return Helm(find_helm(HELM_4), tmp_path_factory.mktemp("helm"))
    except NoHelm as error:
        pytest.skip(str(error))


def test_every_value_is_used(helm: Helm, tell: Tell) -> None:
    """No value of values.yaml is one that nothing looks at."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    leaves = list(_leaves(values, ()))
    bases = {json.dumps(base): template(helm, values=base) for base in (EVERYTHING, *_IN.values())}

    def unused(path: Place) -> str | None:
        base = next((found for start, found in _IN.items() if path[: len(start)] == start), EVERYTHING)
        held = _merged(values, base)
        return ".".join(path) if template(helm, values=_changed(base, path, held)) == bases[json.dumps(base)] else None

    with ThreadPoolExecutor(2) as pool:
        found = [name for name in pool.map(unused, leaves) if name]

    assert found == []
    tell(values=len(leaves))


def _leaves(values: Mapping[str, Any], above: Place) -> Iterator[Place]:
    for key, value in values.items():
        path = (*above, key)
        if isinstance(value, Mapping) and value and key not in _OTHERS and key != "labels":
            yield from _leaves(value, path)
        else:
            yield path


def _changed(base: Values, path: Place, held: Any) -> Values:
    changed: Values = deepcopy(base)
    place = changed
    for key in path[:-1]:
        place, held = place.setdefault(key, {}), held[key]
    place[path[-1]] = _other(path[-1], held[path[-1]])
    return changed


def _other(key: str, value: Any) -> Any:
    if key in _OTHERS:
        return _OTHERS[key]
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return "other"
        case _:
            return {"other": "other"}


def _merged(values: Any, base: Any) -> Any:
    if isinstance(values, Mapping) and isinstance(base, Mapping):
        return {key: _merged(values.get(key), base.get(key, values.get(key))) for key in values.keys() | base.keys()}
    return base
