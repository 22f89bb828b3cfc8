"""The list of models, and what makes a conversation recognisable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Model

from extproc.dialects.contract import MAX_STICKY_BYTES, Listed
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import USER, body

MODELS = (Listed("a", 1, "team"), Listed("b", 0, "other"))


def test_the_list() -> None:
    """All models, each as the SDK knows one; a query asks for nothing here."""
    written = DIALECT.write_models(MODELS, None, "limit=1")

    assert written is not None
    found = json.loads(written)
    assert found["object"] == "list"
    assert [Model.model_validate(model, strict=True).id for model in found["data"]] == ["a", "b"]


def test_one_model() -> None:
    """One model by its name, nothing for a name that is not there."""
    written = DIALECT.write_models(MODELS, "b", "")

    assert written is not None
    assert Model.model_validate_json(written, strict=True).owned_by == "other"
    assert DIALECT.write_models(MODELS, "c", "") is None


SYSTEM = {"role": "system", "content": "s"}


def key(*messages: Any, **fields: Any) -> bytes:
    """The key of a conversation."""
    return DIALECT.sticky_key(body(messages=list(messages), **fields))


def test_a_conversation_keeps_its_key() -> None:
    """More turns, other settings and wandering cache marks are the same conversation."""
    marked = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
    first = key(SYSTEM, USER)

    assert first == key(SYSTEM, USER, {"role": "assistant", "content": "a"}, USER, temperature=1)
    assert first == key(SYSTEM, marked)
    assert first


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [{**SYSTEM, "content": "t"}, USER],
        [SYSTEM, {"role": "user", "content": "ho"}],
        [SYSTEM, SYSTEM, USER],
        [
            SYSTEM,
            {
                "role": "user",
                "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}],
            },
        ],
    ],
)
def test_another_conversation_has_another_key(messages: list[Any]) -> None:
    """Whatever is said first tells conversations apart."""
    assert key(*messages) != key(SYSTEM, USER)


@given(
    st.binary(max_size=30)
    | st.builds(
        lambda value: json.dumps({"messages": value}).encode(),
        st.recursive(
            st.none() | st.text(max_size=2),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["role", "content", "text"]), inner)
            ),
        ),
    )
)
def test_any_body_has_a_key(raw: bytes) -> None:
    """A body that is no conversation has a key as well, if an empty one."""
    assert isinstance(DIALECT.sticky_key(raw), bytes)


@pytest.mark.parametrize(
    "messages", [b"[1e999]", b'[{"role":"user","content":1e999}]', b'[{"role":"user","content":"\\ud800"}]']
)
def test_a_message_that_cannot_be_read_has_no_key(messages: bytes) -> None:
    """A number that no float holds, and half of a character, are the upstream's to refuse."""
    assert DIALECT.sticky_key(b'{"model":"m","messages":%b}' % messages) == b""


def test_a_sticky_key_is_short_and_quickly_read() -> None:
    """Of each message the beginning counts, and of a preamble of many messages the first of them."""
    long = key(*[{"role": "system", "content": "y" * 100_000}] * 3, {"role": "user", "content": "z" * 2_000_000}, USER)

    assert len(long) <= 4 * MAX_STICKY_BYTES + 3
    assert long != key(*[{"role": "system", "content": "y" * 100_000}] * 3, USER)
    assert len(key(*[SYSTEM] * 300_000, USER)) < 1000
