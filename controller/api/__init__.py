"""The API: LLMRoute and LLMBackend as pydantic models, the single source of ``crds/*.yaml`` and of all checks."""

from controller.api.backend import LLMBackend
from controller.api.findings import Finding, InvalidResource, Severity, Subject
from controller.api.reading import parse_backend, parse_route
from controller.api.reasons import Reason
from controller.api.route import LLMRoute
from controller.api.shape import API_VERSION, GROUP, VERSION

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Finding",
    "InvalidResource",
    "LLMBackend",
    "LLMRoute",
    "Reason",
    "Severity",
    "Subject",
    "parse_backend",
    "parse_route",
]
