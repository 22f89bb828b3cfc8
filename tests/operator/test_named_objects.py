"""What is known of the objects that resources name, and what is forgotten."""

import base64
from typing import Any

import pytest

from controller.operator.named_objects import NamedObjects, Standing, data_of
from tests.support.named_source import secret_object

A, B = ("Secret", "team-a", "keys"), ("Secret", "team-b", "keys")


def knowing(*places: tuple[str, str, str]) -> NamedObjects:
    """Nothing yet, of these."""
    named = NamedObjects()
    named.want(places)
    return named


def test_nothing_is_known_before_it_was_asked() -> None:
    """Not even that it does not exist."""
    named = knowing(A)

    assert named.unasked == {A}
    assert named.store().unread == {A: "the API server has not said yet whether it exists"}
    assert named.store().data == {}


def test_what_is_found_missing_or_denied() -> None:
    """Each is known as what it is."""
    named = knowing(A, B, ("ConfigMap", "team-a", "ca"))
    named.saw(A, secret_object(1, apiKey="k"))
    named.saw(B, None)
    named.denied(("ConfigMap", "team-a", "ca"), 0)
    store = named.store()

    assert store.data == {A: {"apiKey": b"k"}}
    assert store.unread == {("ConfigMap", "team-a", "ca"): "the operator may not read it"}
    assert named.unasked == frozenset()
    assert named.counts() == {Standing.FOUND: 1, Standing.MISSING: 1, Standing.DENIED: 1}


def test_only_news_is_news() -> None:
    """The same again, what is older, and what nobody asked for, change nothing."""
    named = knowing(A)

    assert named.saw(A, secret_object(5, apiKey="k"))
    version = named.version
    assert not named.saw(A, secret_object(5, apiKey="k"))
    assert not named.saw(A, secret_object(4, apiKey="older"))
    assert not named.saw(A, secret_object(6, apiKey="k"))
    assert not named.saw(B, secret_object(9, apiKey="k"))
    assert named.version == version
    assert named.store().data == {A: {"apiKey": b"k"}}
    assert named.saw(A, secret_object(7, apiKey="new"))
    assert named.version == version + 1


def test_another_object_of_the_same_name() -> None:
    """Deleted and made anew, as a restore does, it may have any version."""
    named = knowing(A)
    named.saw(A, secret_object(9, apiKey="k"))

    assert named.saw(A, secret_object(3, uid="another", apiKey="restored"))
    assert named.store().data == {A: {"apiKey": b"restored"}}


def test_what_is_not_wanted_is_forgotten() -> None:
    """With its values; wanted again, it is unknown again."""
    named = knowing(A, B)
    named.saw(A, secret_object(1, apiKey="k"))
    named.want([B])
    assert named.store().data == {}
    assert not named.denied(A, 0)

    named.want([A, B])
    assert named.unasked == {A, B}


def test_what_is_being_deleted_is_gone() -> None:
    """A finalizer may hold it for long."""
    leaving = secret_object(1, apiKey="k")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    named = knowing(A)
    named.saw(A, leaving)

    assert named.store().data == {}
    assert named.store().unread == {}


def test_a_right_that_was_taken_away_takes_the_values() -> None:
    """When it has been gone for a minute: who decides on rights may be away for a moment."""
    named = knowing(A)
    named.saw(A, secret_object(1, apiKey="k"))

    assert not named.denied(A, 10)
    assert not named.denied(A, 69)
    assert named.counts() == {Standing.DENIED: 1}
    assert (named.store().data, named.store().unread) == ({A: {"apiKey": b"k"}}, {})
    assert named.denied(A, 70)
    assert not named.denied(A, 80)
    assert named.store().data == {}
    assert named.store().unread == {A: "the operator may not read it"}
    assert named.doubted == frozenset()


def test_a_refusal_that_is_over_does_not_count() -> None:
    """The next one begins anew."""
    named = knowing(A)
    named.saw(A, secret_object(1, apiKey="k"))
    named.denied(A, 0)
    named.saw(A, secret_object(1, apiKey="k"))

    assert named.counts() == {Standing.FOUND: 1}
    assert not named.denied(A, 100)
    assert A in named.store().data


def test_what_is_refused_from_the_beginning_is_said_at_once_and_doubted_for_a_while() -> None:
    """A new leader takes no file away for one refusal; that the doubt is over is news."""
    named = knowing(A)

    assert named.denied(A, 0)
    assert named.doubted == {A}
    assert named.unasked == frozenset()
    assert not named.denied(A, 59)
    assert named.denied(A, 60)
    assert named.doubted == frozenset()


def test_the_type_of_a_secret_is_known() -> None:
    """Some types are nobody's credentials."""
    named = knowing(A)
    named.saw(A, {**secret_object(1, token="t"), "type": "kubernetes.io/service-account-token"})

    assert named.store().types == {A: "kubernetes.io/service-account-token"}


@pytest.mark.parametrize(
    ("obj", "data"),
    [
        ({"kind": "Secret"}, {}),
        ({"kind": "Secret", "data": None}, {}),
        ({"kind": "Secret", "data": {"a": "aw==", "b": "?", "c": 1}}, {"a": b"k"}),
        ({"kind": "ConfigMap", "data": {"ca.crt": "pem"}, "binaryData": {"b": "aw=="}}, {"ca.crt": b"pem", "b": b"k"}),
    ],
)
def test_values_are_decoded(obj: dict[str, Any], data: dict[str, bytes]) -> None:
    """What is no base64 is not there."""
    assert data_of(obj) == data


def test_no_value_is_shown() -> None:
    """Whatever of it is printed."""
    named = knowing(A)
    named.saw(A, secret_object(1, apiKey="mArKeR"))
    shown = f"{named!r} {named.store()!r} {vars(named)!r}"

    assert "mArKeR" not in shown
    assert base64.b64encode(b"mArKeR").decode() not in shown
