"""From resources to configuration: pure, total, and the same for the operator, the standalone mode and the tests."""

from controller.translate.envoy.bootstrap import bootstrap
from controller.translate.envoy.listener import listener
from controller.translate.reading import ReadBackend, ReadRoute, read_backend, read_route
from controller.translate.routes import Memory
from controller.translate.settings import ProxySettings, Settings
from controller.translate.snapshot import Snapshot
from controller.translate.statuses import Condition, ObjectStatus
from controller.translate.translation import EnvoyConfig, Translation, translate

__all__ = [
    "Condition",
    "EnvoyConfig",
    "Memory",
    "ObjectStatus",
    "ProxySettings",
    "ReadBackend",
    "ReadRoute",
    "Settings",
    "Snapshot",
    "Translation",
    "bootstrap",
    "listener",
    "read_backend",
    "read_route",
    "translate",
]
