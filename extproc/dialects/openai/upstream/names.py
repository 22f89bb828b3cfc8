"""Ids and names as this API takes them.

Limits: openai-python 3.54 ``types/shared_params/function_definition`` (names of 64 characters); the API's own answer to
long ids, ``string_above_max_length``, quoted by camel-ai/camel #2215 and vercel/ai #5171 (ids of 40; newer models may
take more, unconfirmed).
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final

MAX_ID: Final = 40
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_STRANGE: Final = re.compile(r"[^a-zA-Z0-9_-]")
_KEPT: Final = 55


def upstream_id(call_id: str) -> str:
    """The id of a call, or a name derived from a long one: the same for the call and its result, and in every turn."""
    return call_id if len(call_id) <= MAX_ID else "call_" + sha256(call_id.encode()).hexdigest()[:32]


def upstream_name(name: str) -> str:
    """The name of a tool, or one that begins like it: the same in every turn, and another for every other tool."""
    if _NAME.fullmatch(name):
        return name
    return f"{_STRANGE.sub('_', name)[:_KEPT]}_{sha256(name.encode()).hexdigest()[:8]}"


def renamed(names: Iterable[str]) -> Mapping[str, str]:
    """The client's name of each tool that is sent under another one, by that other one."""
    return {sent: name for name in names if (sent := upstream_name(name)) != name}
