"""From an object as the API server or a YAML file has it to a typed one, or to everything that is wrong with it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from controller.api.backend import LLMBackend
from controller.api.checks import backend_faults, route_faults
from controller.api.explain import explained
from controller.api.findings import Finding, InvalidResource, Subject
from controller.api.route import LLMRoute
from controller.api.shape import Metadata

Resource = TypeVar("Resource", LLMRoute, LLMBackend)


def parse_route(obj: Mapping[str, Any]) -> LLMRoute:
    """An LLMRoute, with the API server's defaults filled in. Raises ``InvalidResource`` with all that is wrong."""
    return _parsed(obj, LLMRoute, route_faults)


def parse_backend(obj: Mapping[str, Any]) -> LLMBackend:
    """An LLMBackend, with the API server's defaults filled in. Raises ``InvalidResource`` with all that is wrong."""
    return _parsed(obj, LLMBackend, backend_faults)


def subject_of(obj: Mapping[str, Any]) -> Subject:
    """Which object this is, as far as a broken one can tell."""
    metadata = obj.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    return Subject(str(obj.get("kind", "")), str(named.get("namespace") or "default"), str(named.get("name") or ""))


def maybe_metadata(obj: Mapping[str, Any]) -> Metadata | None:
    """The metadata of an object whose spec may be broken; None when it is broken itself."""
    try:
        return Metadata.model_validate(obj.get("metadata"), by_alias=True, by_name=False)
    except ValidationError:
        return None


def _parsed(
    obj: Mapping[str, Any], model: type[Resource], faults: Callable[[Resource], Iterator[tuple[str, str]]]
) -> Resource:
    try:
        resource = model.model_validate(obj, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidResource(_findings(obj, explained(error, model))) from None
    found = list(faults(resource))
    if found:
        raise InvalidResource(_findings(obj, found))
    return resource


def _findings(obj: Mapping[str, Any], faults: list[tuple[str, str]]) -> list[Finding]:
    subject = subject_of(obj)
    return [Finding(subject, path, message) for path, message in faults]
