"""SDKs describe requests as typed dicts: whether a JSON value is one, with nothing that is not declared."""

import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import TypeAliasType, get_type_hints, is_typeddict


def maybe_misfit(value: Any, hint: Any, path: str) -> str | None:
    """Why the value is not of the type, None when it is."""
    while isinstance(hint, TypeAliasType) or get_origin(hint) in {Required, NotRequired, Annotated}:
        hint = hint.__value__ if isinstance(hint, TypeAliasType) else get_args(hint)[0]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        found = [maybe_misfit(value, argument, path) for argument in arguments]
        return None if None in found else max((text for text in found if text), key=_depth)
    if is_typeddict(hint):
        return _maybe_misfit_of(value, hint, path)
    if origin is Literal:
        return None if value in arguments else f"{path}: {value!r} is none of {arguments}"
    if isinstance(origin, type):
        return _maybe_misfit_within(value, origin, arguments, path)
    return _maybe_misfit_plain(value, hint, path)


@cache
def _members_of(shape: Any) -> tuple[dict[str, Any], frozenset[str]]:
    hints = get_type_hints(shape, include_extras=True)
    return hints, frozenset(shape.__required_keys__)


def _maybe_misfit_within(value: Any, origin: type, arguments: tuple[Any, ...], path: str) -> str | None:
    if issubclass(origin, Mapping):
        return None if isinstance(value, dict) else f"{path}: no object"
    if not issubclass(origin, Iterable) or not isinstance(value, list):
        return f"{path}: no array"
    found = (maybe_misfit(entry, arguments[0], f"{path}[{i}]") for i, entry in enumerate(value))
    return next((text for text in found if text), None)


def _maybe_misfit_of(value: Any, shape: Any, path: str) -> str | None:
    if not isinstance(value, dict):
        return f"{path}: no object"
    hints, required = _members_of(shape)
    if missing := required - value.keys():
        return f"{path}: lacks {sorted(missing)} of {shape.__name__}"
    if strange := value.keys() - hints.keys():
        return f"{path}: {shape.__name__} has no {sorted(strange)}"
    found = (maybe_misfit(value[name], hints[name], f"{path}.{name}") for name in value)
    return next((text for text in found if text), None)


def _maybe_misfit_plain(value: Any, hint: Any, path: str) -> str | None:
    if hint is Any or hint is object:
        return None
    if hint is None or hint is type(None):
        return None if value is None else f"{path}: not null"
    if hint is float:
        return None if type(value) in {int, float} else f"{path}: no number"
    if hint in {str, int, bool}:
        return None if type(value) is hint else f"{path}: not of {hint.__name__}"
    return f"{path}: not of {hint}"


def _depth(text: str) -> int:
    """The misfit that lies deepest is the one of the member of a union that was meant."""
    return text.partition(": ")[0].count(".") + text.partition(": ")[0].count("[")
