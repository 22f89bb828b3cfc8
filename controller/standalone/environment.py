"""A gateway from two environment variables, without a file: any model, to whatever speaks OpenAI there."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from controller.api import API_VERSION
from controller.standalone.faults import Misuse

KEY, BASE_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
DEFAULT_BASE_URL = "https://api.openai.com/v1"


class BadUrl(Misuse):
    """The base URL cannot be used; the message says why."""


def is_set(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for a gateway."""
    return bool(environment.get(KEY) or environment.get(BASE_URL))


def objects_of(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """A route that takes everything and the backend behind it.

    The key is not part of them: clients send their own, and it is forwarded. Raises ``BadUrl``.
    """
    hostname, port, tls, version = _parsed(environment.get(BASE_URL) or DEFAULT_BASE_URL)
    backend = {
        "outputSchema": {"schema": "OpenAI", "version": version},
        "endpoint": {"hostname": hostname, "port": port, "tls": {"enabled": tls}},
    }
    route = {"rules": [{"name": "everything", "backendRefs": [{"name": "openai"}]}]}
    return [_object("LLMRoute", route), _object("LLMBackend", backend)]


def _object(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "openai"}, "spec": spec}


def _parsed(url: str) -> tuple[str, int, bool, str]:
    """Host, port, TLS, and the path in front of ``/chat/completions``."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadUrl(f"{BASE_URL}: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadUrl(f"{BASE_URL} must be like {DEFAULT_BASE_URL}")
    if parts.username or parts.query or parts.fragment:
        raise BadUrl(f"{BASE_URL} may hold no credentials, query or fragment")
    tls = parts.scheme == "https"
    # An empty version would mean v1.
    return parts.hostname, port or (443 if tls else 80), tls, parts.path.strip("/") or "/"
