"""The order of a change, as documents."""

from typing import Any

from controller.standalone.rollout import merged
from controller.translate import EnvoyConfig
from tests.support.gateway import backend, route, rule, translation_of


def config(*names: str, port: int = 1) -> EnvoyConfig:
    rules = [rule(name, name) for name in names]
    return translation_of([route(*rules), *(backend(name, port) for name in names)]).envoy


def clusters(envoy: EnvoyConfig) -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in envoy.cds["resources"]}


def names(envoy: EnvoyConfig) -> list[str]:
    """Of the clusters, as people know them."""
    return [cluster["alt_stat_name"] for cluster in envoy.cds["resources"]]


def routes(envoy: EnvoyConfig) -> list[str]:
    [table] = envoy.rds["resources"]
    [host] = table["virtual_hosts"]
    return [entry["name"].partition("@")[0] for entry in host["routes"]]


def test_a_union_has_the_routes_and_clusters_of_both() -> None:
    """What either side needs is there, in the order of names."""
    both = merged(config("a", "b"), config("c", "b"))

    assert routes(both) == ["default/a", "default/b", "default/c"]
    assert names(both) == ["default/a", "default/b", "default/c"]


def test_a_backend_that_moved_is_at_both_places() -> None:
    """Until the processor has heard of it, its requests are for the old one."""
    old, new = config("a", port=1), config("a", port=2)

    assert clusters(merged(old, new)) == clusters(old) | clusters(new)
    assert len(clusters(merged(old, new))) == 2


def test_where_both_have_something_the_new_one_counts() -> None:
    """What is changed under its name is changed at once."""
    old, new = config("a"), config("a")
    [cluster] = new.cds["resources"]
    cluster["connect_timeout"] = "1s"

    assert clusters(merged(old, new)) == clusters(new)
    assert merged(old, new).rds == new.rds


def test_nothing_changes_where_nothing_changed() -> None:
    """Equal files stay equal, so Envoy is not told to load anything."""
    assert merged(config("a"), config("a")) == config("a")


def test_versions_tell_unions_apart() -> None:
    """In a row of unions each has another version, and so has one whose parts have other contents."""
    steps = [config("a"), config("a", "b"), config("c"), config("d")]
    union, versions = steps[0], set()
    for step in steps[1:]:
        union = merged(union, step)
        versions.add(union.cds["version_info"])

    assert len(versions) == 3
    assert names(union) == [f"default/{name}" for name in "abcd"]
    assert (
        merged(config("a"), config("b", port=2)).cds["version_info"]
        != merged(config("a"), config("b")).cds["version_info"]
    )
