"""Callers' JSON Web Tokens, verified by Envoy's ``jwt_authn``, which only says what it found and refuses nobody.

Whether a token lets somebody in depends on the rule, and so on the model in the body: the processor decides. The filter
stands in the listener, which never changes, so its configuration is a file of its own (ECDS). Tried on Envoy 1.40: a
change of that file is live without touching a connection; a file that must be there is missing is fatal; one bad key
set refuses the whole file; and ``requires_all`` wants two members.

Envoy fetches a key set ahead, and while it has none it fetches again within each request with a token of that issuer,
whatever rule the request is for. So an issuer gets little time, and one that failed is not asked again at once: its
host is taken out for some seconds, and whoever asks for the key set then is told at once that there is none.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from controller.translate.callers import Provider
from controller.translate.envoy.documents import (
    Document,
    address,
    discovery_response,
    extension,
    found_by_name,
    seconds,
    typed,
)
from controller.translate.envoy.processor import many_requests
from controller.translate.envoy.sources import file_source
from controller.translate.upstreams import is_address
from extproc.config.names import failed_token, verified_token

_MESSAGE = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_EXTENSION = "envoy.config.core.v3.TypedExtensionConfig"
#: The filter's name, which is that of the resource in the file.
FILTER = "llmroute-jwt"

#: Seconds that Envoy goes by a fetched key set, waits for one, and leaves an issuer alone that failed: at first, and at
#: most, after failing again and again.
_CACHED_S, _FETCH_S, _LEFT_ALONE_S, _LEFT_ALONE_MOST_S = 600, 0.5, 2, 10
#: Waiting for a connection outlives the fetch, so that the next one finds it made.
_CONNECT_S = 3


def jwt_filter(path: str) -> Document:
    """The filter for the listener; ``path`` is the file that says what to verify."""
    return {
        "name": FILTER,
        "config_discovery": {
            "config_source": file_source(path),
            "type_urls": [typed(_MESSAGE)["@type"]],
            # Nothing is verified then, and what is not verified lets nobody in.
            "default_config": typed(_MESSAGE),
            "apply_default_config_without_warming": True,
        },
    }


def provider_of(provider: Provider) -> Document:
    """One provider as Envoy has it."""
    if provider.uri is None:
        keys: Document = {"local_jwks": {"inline_string": provider.keys}}
    else:
        keys = {
            "remote_jwks": {
                "http_uri": {"uri": provider.uri, "cluster": _cluster_name(provider.uri), "timeout": seconds(_FETCH_S)},
                "cache_duration": seconds(_CACHED_S),
                # Fetched ahead; and no issuer that is down keeps the listener from opening.
                "async_fetch": {"fast_listener": True, "failed_refetch_duration": seconds(1)},
            }
        }
    return {
        "issuer": provider.issuer,
        "audiences": list(provider.audiences),
        **keys,
        # Not by the default list, which has a parameter of the query.
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        # The processor has to see it to remove it, and to tell a bad one from none.
        "forward": True,
        "payload_in_metadata": verified_token(provider.name),
        "failed_status_in_metadata": failed_token(provider.name),
    }


def extensions_response(providers: Mapping[str, Document]) -> Document:
    """The file for ECDS: what every request's token is held against, whatever comes of it."""
    names = sorted(providers)
    wanted = [
        {"requires_any": {"requirements": [{"provider_name": name}, {"allow_missing_or_failed": {}}]}} for name in names
    ]
    config = typed(_MESSAGE)
    if wanted:
        requires = wanted[0] if len(wanted) == 1 else {"requires_all": {"requirements": wanted}}
        config["providers"] = {name: providers[name] for name in names}
        config["rules"] = [{"match": {"prefix": "/"}, "requires": requires}]
    return discovery_response(_EXTENSION, [{"name": FILTER, "typed_config": config}])


def providers_in(ecds: Mapping[str, Any]) -> dict[str, Document]:
    """The providers of such a file. Raises ``LookupError`` or ``TypeError`` when it is not ours."""
    return dict(ecds["resources"][0]["typed_config"].get("providers", {}))


def key_set_clusters(providers: Iterable[Provider], ca_certificates: str) -> list[Document]:
    """A cluster for each host that a key set is fetched from."""
    uris = sorted({provider.uri for provider in providers if provider.uri is not None})
    clusters = {_cluster_name(uri): _cluster(uri, ca_certificates) for uri in uris}
    return list(clusters.values())


def _origin(uri: str) -> tuple[str, str, int]:
    parts = urlsplit(uri)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _cluster_name(uri: str) -> str:
    """No backend's name is like this one: theirs have a slash."""
    said = "|".join(map(str, _origin(uri)))
    return f"llmroute-jwks@{sha256(said.encode()).hexdigest()[:32]}"


def _cluster(uri: str, ca_certificates: str) -> Document:
    scheme, host, port = _origin(uri)
    name = _cluster_name(uri)
    cluster: Document = {
        "name": name,
        "alt_stat_name": f"llmroute-jwks/{host}:{port}",
        **({"type": "STATIC"} if is_address(host) else found_by_name(each_address=False)),
        "connect_timeout": seconds(_CONNECT_S),
        "circuit_breakers": {"thresholds": [many_requests()]},
        # One failure is enough, also of the fetch ahead; without a host that is left there is nothing to wait for.
        "outlier_detection": {
            "consecutive_5xx": 1,
            "interval": seconds(1),
            "base_ejection_time": seconds(_LEFT_ALONE_S),
            "max_ejection_time": seconds(_LEFT_ALONE_MOST_S),
            "max_ejection_percent": 100,
        },
        # Taken out at once: by default the workers may be told a second later.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(host, port)}}]}],
        },
    }
    if scheme == "https":
        cluster["transport_socket"] = extension(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **({} if is_address(host) else {"sni": host}),
            common_tls_context={
                "validation_context": {
                    "trusted_ca": {"filename": ca_certificates},
                    "match_typed_subject_alt_names": [
                        {"san_type": "IP_ADDRESS" if is_address(host) else "DNS", "matcher": {"exact": host}}
                    ],
                }
            },
        )
    return cluster
