"""Which namespaces are read."""

import pytest
from kopf._cogs.structs.references import NamespaceName, match_namespace

from controller.operator.settings import Scope


@pytest.mark.parametrize(
    ("names", "covered"),
    [
        (("team-a", "team-b"), {"team-a"}),
        (("team-*",), {"team-a", "team-c"}),
        (("team-*", "team-b"), {"team-a", "team-c"}),
    ],
)
def test_a_namespace_can_be_left_out(names: tuple[str, ...], covered: set[str]) -> None:
    """By its name, and of those that a pattern matches; kopf, which watches, has the same understanding of it."""
    scope = Scope(names).without({"team-b"})

    assert {name for name in ("team-a", "team-b", "team-c", "other") if scope.covers(name)} == covered
    assert {
        name
        for name in ("team-a", "team-b", "team-c", "other")
        if any(match_namespace(NamespaceName(name), glob) for glob in scope.globs)
    } == covered
    assert scope.has_patterns is ("team-*" in names)
    assert Scope(names).without(()) == Scope(names)
