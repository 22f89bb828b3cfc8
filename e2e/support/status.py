"""What an object's status says, and waiting until it says something."""

from collections.abc import Callable, Mapping
from typing import Any

from e2e.support.api import Api, Object
from tests.support.waiting import until


def conditions(found: Object) -> dict[str, dict[str, Any]]:
    """The conditions by type."""
    return {each["type"]: each for each in found.get("status", {}).get("conditions") or ()}


def truths(found: Object) -> dict[str, str]:
    """What each condition's status is, as far as it speaks of the object as it is now."""
    now = found["metadata"]["generation"]
    return {name: each["status"] for name, each in conditions(found).items() if each.get("observedGeneration") == now}


def until_says(
    api: Api, kind: str, namespace: str, name: str, wanted: Mapping[str, str], limit_s: float = 15.0
) -> dict[str, Any]:
    """Returns the object once its conditions, of its present generation, have these statuses."""
    return until_object(api, kind, namespace, name, lambda found: truths(found).items() >= wanted.items(), limit_s)


def until_object(
    api: Api, kind: str, namespace: str, name: str, true: Callable[[Object], bool], limit_s: float = 15.0
) -> dict[str, Any]:
    """Returns the object once something is true of it; tells what it was like when that never happens."""
    seen: dict[str, Any] = {}

    def look() -> bool:
        seen.clear()
        seen.update(api.get(kind, namespace, name))
        return true(seen)

    try:
        until(look, f"{kind} {namespace}/{name} is not as wanted", limit_s)
    except Exception as fault:
        fault.add_note(f"its status: {seen.get('status')}")
        raise
    return seen
