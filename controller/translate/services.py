"""Services, as far as they tell whether anybody would answer.

https://kubernetes.io/docs/concepts/services-networking/service/ (read 2026-11-23).
"""

from collections.abc import Mapping
from typing import Any


def open_ports(service: Mapping[str, Any]) -> frozenset[int] | None:
    """The ports on which a Service answers; None where it does not say.

    Behind a headless Service are the pods themselves, and behind an ExternalName another host: whatever ports those
    have.
    """
    spec = service.get("spec")
    if not isinstance(spec, Mapping) or spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
        return None
    listed = spec.get("ports")
    ports = listed if isinstance(listed, list) else ()
    return frozenset(port["port"] for port in ports if isinstance(port, Mapping) and isinstance(port.get("port"), int))
