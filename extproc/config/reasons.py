"""From pydantic's errors to findings: the file's own field names, plain reasons, the nearest right word."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from pydantic_core import ErrorDetails

from extproc.config.errors import Finding, MisfitError, nearest, quoted, render_path, shortened
from extproc.config.schema import Config
from extproc.config.shape import PATTERN_MEANINGS, Shape

Loc = Sequence[str | int]


def explained(error: ErrorDetails) -> tuple[Finding, ...]:
    """The findings of one pydantic error of ``Config``; none for an error that only follows from others."""
    loc = error["loc"]
    path = render_path(loc)
    context = error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, MisfitError):
        return tuple(finding.below(path) for finding in cause.findings)
    if error["type"] == "too_short" and len(error["input"]) >= context["min_length"]:
        return ()  # pydantic counts the entries that are valid; those that are not have findings of their own
    if error["type"] == "extra_forbidden":
        return (_unknown_field(loc, path),)
    if error["type"] == "literal_error":
        return (_unknown_word(loc, path, error["input"]),)
    reason = _REASONS.get(error["type"], _as_pydantic_says)
    return (Finding(path, reason(error["input"], {**context, "msg": error["msg"]})),)


def _unknown_field(loc: Loc, path: str) -> Finding:
    known = sorted(_fields_at(loc[:-1]))
    suggestion = nearest(str(loc[-1]), known)
    reason = "unknown field" if suggestion else f"unknown field; known here are {', '.join(known)}"
    return Finding(path, reason, suggestion)


def _unknown_word(loc: Loc, path: str, value: Any) -> Finding:
    *outer, name = (item for item in loc if isinstance(item, str))  # a word may stand in a list
    known = _fields_at(outer)[name].words
    listed = " or ".join(known)
    if not isinstance(value, str):
        return Finding(path, f"must be {listed}, not {_kind(value)}")
    return Finding(path, f"must be {listed}, not {quoted(value)}", nearest(value, known))


class _Place:
    """What may stand at one field: the shape of its parts, or its words."""

    __slots__ = ("shape", "words")

    def __init__(self, annotation: Any) -> None:
        leaves = list(_leaves(annotation))
        self.words = tuple(leaf for leaf in leaves if isinstance(leaf, str))
        self.shape = next((leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, Shape)), None)


def _leaves(annotation: Any) -> Iterator[Any]:
    """The innermost parts of a type, ``tuple[Rule, ...] | None`` say: ``Rule``, ``...``, ``None``."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _leaves(part)


def _fields_at(loc: Loc) -> Mapping[str, _Place]:
    """The fields that the file may have at ``loc``, by the names they have there."""
    shape: type[Shape] | None = Config
    for item in loc:
        if isinstance(item, str) and shape is not None:
            shape = _fields_of(shape)[item].shape
    return _fields_of(shape) if shape is not None else {}


def _fields_of(shape: type[Shape]) -> Mapping[str, _Place]:
    return {field.alias or name: _Place(field.annotation) for name, field in shape.model_fields.items()}


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case dict():
            return "a mapping"
        case _:
            return "a list"


_Context = Mapping[str, Any]


def _text(value: Any, _: _Context) -> str:
    remedy = "; put it in quotes" if isinstance(value, bool | int | float) else ""
    return f"must be text, not {_kind(value)}{remedy}"


def _integer(value: Any, _: _Context) -> str:
    remedy = "; remove the quotes" if isinstance(value, str) and value.strip().isdecimal() else ""
    return f"must be a whole number, not {_kind(value)}{remedy}"


def _boolean(value: Any, _: _Context) -> str:
    return f"must be true or false, not {_kind(value)}"


def _list(value: Any, _: _Context) -> str:
    remedy = "; leave the field out instead" if value is None else ""
    return f"must be a list, not {_kind(value)}{remedy}"


def _mapping(value: Any, _: _Context) -> str:
    return f"must be a mapping of fields, not {_kind(value)}"


def _pattern(value: Any, context: _Context) -> str:
    return f"{quoted(value)} is not {PATTERN_MEANINGS[context['pattern']]}"


def _as_pydantic_says(_: Any, context: _Context) -> str:
    return str(context["msg"])


_REASONS: Mapping[str, Callable[[Any, _Context], str]] = MappingProxyType(
    {
        "missing": lambda _, __: "is required",
        "string_type": _text,
        "string_pattern_mismatch": _pattern,
        "string_too_short": lambda _, __: "must not be empty",
        "string_too_long": lambda value, c: f"is {len(value):,} characters long; at most {c['max_length']:,}",
        "int_type": _integer,
        "bool_type": _boolean,
        "tuple_type": _list,
        "model_type": _mapping,
        "too_short": lambda _, c: f"must have {c['min_length']} or more entries",
        "too_long": lambda _, c: f"has {c['actual_length'] or 'more'} entries; at most {c['max_length']}",
        "greater_than_equal": lambda value, c: f"must be {c['ge']:,} or more, not {shortened(str(value))}",
        "less_than_equal": lambda value, c: f"must be {c['le']:,} or less, not {shortened(str(value))}",
    }
)
