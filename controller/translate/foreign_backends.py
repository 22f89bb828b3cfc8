"""Envoy Gateway's Backends, which no schema of ours has checked: one bad value in Envoy's files takes all of them down.

Format: https://gateway.envoyproxy.io/docs/api/extension_types/#backend (read 2026-11-22).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from controller.api.shape import NAME_PATTERN

#: Settings of ``tls`` that change whom we trust. Until they are honoured a Backend with one is not used at all.
_UNSUPPORTED_TLS = ("caCertificateRefs", "clientCertificateRef", "insecureSkipVerify")

_DNS_NAME = re.compile(NAME_PATTERN)
#: Characters of a DNS name; Envoy refuses an SNI above 255.
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class ForeignBackend:
    """What Envoy can be told of a Backend. ``sni`` None with ``tls``: the host's own name."""

    endpoints: tuple[tuple[str, int], ...]
    tls: bool
    sni: str | None


class UnusableBackend(Exception):
    """A Backend that cannot be used; the text says why, with the field."""


def read_foreign_backend(obj: Mapping[str, Any]) -> ForeignBackend:
    """A Backend whose every address and name is fit for Envoy. Raises ``UnusableBackend``."""
    spec = obj.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    endpoints = tuple(_endpoints(spec.get("endpoints")))
    if not endpoints:
        raise UnusableBackend("it has no endpoint with fqdn or ip")
    tls = spec.get("tls")
    if tls is None:
        return ForeignBackend(endpoints, tls=False, sni=None)
    if not isinstance(tls, Mapping):
        raise UnusableBackend("its spec.tls must be an object")
    for word in _UNSUPPORTED_TLS:
        if tls.get(word):
            raise UnusableBackend(f"its tls.{word} is not supported")
    sni = tls.get("sni")
    if sni is not None and not _is_dns_name(sni):
        raise UnusableBackend(_NOT_A_NAME.format("spec.tls.sni"))
    return ForeignBackend(endpoints, tls=True, sni=sni)


_NOT_A_NAME = f"its {{}} must be a lower-case DNS name of at most {_LONGEST_NAME} characters"


def _endpoints(listed: Any) -> Iterator[tuple[str, int]]:
    for i, endpoint in enumerate(listed if isinstance(listed, list) else ()):
        for form, word, is_fit, fault in _FORMS:
            part = endpoint.get(form) if isinstance(endpoint, Mapping) else None
            if part is None:
                continue
            path = f"spec.endpoints[{i}].{form}"
            host, port = (part.get(word), part.get("port")) if isinstance(part, Mapping) else (None, None)
            if not is_fit(host):
                raise UnusableBackend(fault.format(f"{path}.{word}"))
            # YAML's true is an int in Python.
            if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
                raise UnusableBackend(f"its {path}.port must be a whole number from 1 to 65535")
            yield str(host), port


def _is_dns_name(host: Any) -> bool:
    return isinstance(host, str) and len(host) <= _LONGEST_NAME and _DNS_NAME.fullmatch(host) is not None


def _is_plain_address(host: Any) -> bool:
    """An IP address, without the zone that is part of some IPv6 addresses and means nothing on another machine."""
    if not isinstance(host, str) or "%" in host:
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


_FORMS: tuple[tuple[str, str, Callable[[Any], bool], str], ...] = (
    ("fqdn", "hostname", _is_dns_name, _NOT_A_NAME),
    ("ip", "address", _is_plain_address, "its {} must be an IP address"),
)
