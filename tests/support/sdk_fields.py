"""Which fields the official SDKs know in a request, and which of them a request uses.

OpenAI's are paths (``messages[user].content[text].text``). Anthropic's types stand within each other in so many places
that each is told once, by its own name (``TextBlock.citations``).
"""

import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from typing_extensions import TypeAliasType, get_type_hints, is_typeddict

#: What only Anthropic's own servers can run or have filled is read as a whole, and needs one probe.
_WHOLE = ("ServerTool", "ContainerUpload", "ToolReference", "BrowserState", "Container")


def fields_of(client: str) -> tuple[str, ...]:
    """Every field of the SDK's request type."""
    if client == "openai":
        return tuple(dict.fromkeys(_declared(CompletionCreateParamsNonStreaming, "", ())))
    return _anthropic_fields()


def used_fields(client: str, request: Mapping[str, Any]) -> Iterator[str]:
    """Every field that a request uses, by the same names."""
    if client == "openai":
        yield from _used(request, "")
    else:
        yield from _used_members(request, MessageCreateParamsNonStreaming)


# --- by path


def _declared(shape: Any, path: str, above: tuple[Any, ...]) -> Iterator[str]:
    for name, hint in get_type_hints(shape).items():
        here = f"{path}.{name}" if path else name
        yield here
        for member in _members(hint):
            if is_typeddict(member) and member not in above:
                tag = _declared_tag(member)
                yield from _declared(member, f"{here}[{tag}]" if tag else here, (*above, member))


def _members(hint: Any) -> Iterable[Any]:
    if isinstance(hint, TypeAliasType):
        return _members(hint.__value__)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Required, NotRequired, Annotated}:
        return _members(arguments[0])
    if origin in {Union, types.UnionType}:
        return [member for argument in arguments for member in _members(argument)]
    if arguments and origin is not dict and origin is not Literal:
        return _members(arguments[0])
    return [hint]


def _declared_tag(shape: Any) -> str | None:
    hints = get_type_hints(shape)
    return next(
        (get_args(hints[name])[0] for name in ("role", "type") if name in hints and get_args(hints[name])), None
    )


def _used(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for entry in value:
            yield from _used(entry, path)
    elif isinstance(value, dict):
        tag = next((value[name] for name in ("role", "type") if isinstance(value.get(name), str)), None)
        at = f"{path}[{tag}]" if tag else path
        for name, member in value.items():
            here = f"{at}.{name}" if at else name
            yield here
            yield from _used(member, here)


# --- by type


@cache
def _anthropic_fields() -> tuple[str, ...]:
    found: dict[str, None] = {}
    waiting, seen = [MessageCreateParamsNonStreaming], set[Any]()
    while waiting:
        shape = waiting.pop()
        if shape in seen:
            continue
        seen.add(shape)
        if _is_whole(shape):
            found[_name(shape)] = None
            continue
        for name, hint in _hints(shape).items():
            found[f"{_name(shape)}.{name}"] = None
            waiting += [member for member in _members(hint) if is_typeddict(member)]
    return tuple(sorted(found))


def _used_members(value: Any, hint: Any) -> Iterator[str]:
    if isinstance(value, list):
        for entry in value:
            yield from _used_members(entry, hint)
    elif isinstance(value, dict):
        shape = _maybe_shape(value, hint)
        if shape is None:
            return
        if _is_whole(shape):
            yield _name(shape)
            return
        for name, member in value.items():
            yield f"{_name(shape)}.{name}"
            if (declared := _hints(shape).get(name)) is not None:
                yield from _used_members(member, declared)


def _maybe_shape(value: Mapping[str, Any], hint: Any) -> Any:
    """The typed dict that the value is meant to be, by its ``type`` or ``role``."""
    shapes = [member for member in _members(hint) if is_typeddict(member)]
    return next((shape for shape in shapes if _is_tagged(value, shape)), None)


def _is_tagged(value: Mapping[str, Any], shape: Any) -> bool:
    for name in ("role", "type"):
        words = [word for member in _members(_hints(shape).get(name, str)) for word in get_args(member)]
        if words and (name in value or name in shape.__required_keys__) and value.get(name) not in words:
            return False
    return True


def _is_whole(shape: Any) -> bool:
    name = _name(shape)
    return name.startswith(_WHOLE) or (name.endswith("ToolResultBlock") and name != "ToolResultBlock") or _is_tool(name)


def _is_tool(name: str) -> bool:
    """Anthropic's own tools, each of which is a word with a date behind it."""
    return name[-8:].isdigit() and name != "Tool"


@cache
def _hints(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape)


def _name(shape: Any) -> str:
    name: str = shape.__name__
    return name.removesuffix("Param").removesuffix("Params")
