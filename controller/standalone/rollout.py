"""The order of a change: what Envoy needs is there before the processor uses it, and goes after it stopped.

Envoy's two files and the processor's one are three readers with clocks of their own. So Envoy gets the old and the new
first, then the processor gets the new, and after a while Envoy loses the old.
"""

from collections.abc import Mapping
from typing import Any

from controller.translate import EnvoyConfig

Document = Mapping[str, Any]


def merged(old: EnvoyConfig, new: EnvoyConfig) -> EnvoyConfig:
    """Everything of both; where a name is in both, the new one."""
    return EnvoyConfig(rds=_merged_routes(old.rds, new.rds), cds=_merged_clusters(old.cds, new.cds))


def _merged_clusters(old: Document, new: Document) -> dict[str, Any]:
    clusters = _by_name(old["resources"], new["resources"])
    return _response(old, new, clusters)


def _merged_routes(old: Document, new: Document) -> dict[str, Any]:
    [old_table], [new_table] = old["resources"], new["resources"]
    hosts = []
    for old_host, new_host in zip(old_table["virtual_hosts"], new_table["virtual_hosts"], strict=True):
        hosts.append({**new_host, "routes": _by_name(old_host["routes"], new_host["routes"])})
    return _response(old, new, [{**new_table, "virtual_hosts": hosts}])


def _by_name(old: list[Document], new: list[Document]) -> list[Document]:
    union = {part["name"]: part for part in (*old, *new)}
    return [union[name] for name in sorted(union)]


def _response(old: Document, new: Document, resources: list[Document]) -> dict[str, Any]:
    if resources == new["resources"]:
        return dict(new)
    # Of a merged document only the last name counts, or a row of quick changes would make it longer and longer.
    before = str(old["version_info"]).rpartition("+")[2]
    return {"version_info": f"{before}+{new['version_info']}", "resources": resources}
