"""pydantic's errors in the words of somebody who writes YAML."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.api.shape import IN_WORDS, did_you_mean, either
from extproc.config.errors import quoted, render_path


def explained(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """A path and a message for each error, in the order of the file."""
    return [_one(detail, model) for detail in error.errors(include_url=False) if not _echo(detail)]


def _echo(detail: ErrorDetails) -> bool:
    """Whether a list is only called too short because its items have errors of their own."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _one(detail: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        name = str(loc[-1])
        hint = did_you_mean(name, known) or f"; known here are {', '.join(sorted(known))}"
        return render_path(loc), f"unknown field{hint}"
    say = _SAYINGS.get(detail["type"])
    return render_path(loc), detail["msg"] if say is None else say(detail.get("ctx", {}), detail["input"])


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    for step in loc:
        if isinstance(step, str):
            annotation = next(f.annotation for f in model.model_fields.values() if f.alias == step)
            model = next(_models(annotation))
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shown(value: Any) -> str:
    """The kind of a value, or the value itself where it is short and certainly no secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)[:32]
    kinds: tuple[tuple[type, str], ...] = ((str, "a string"), (list, "a list"), (dict, "an object"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "that")


def _wrong_type(wanted: str) -> Callable[[Mapping[str, Any], Any], str]:
    def say(context: Mapping[str, Any], value: Any) -> str:
        del context
        hint = "; put it in quotes" if wanted == "a string" and isinstance(value, bool | int | float) else ""
        return f"must be {wanted}, not {_shown(value)}{hint}"

    return say


def _literal(context: Mapping[str, Any], value: Any) -> str:
    names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
    if not isinstance(value, str):
        return f"must be {either(names)}, not {_shown(value)}"
    return f"must be {either(names)}, not {quoted(value)}{did_you_mean(value, names)}"


def _pattern(context: Mapping[str, Any], value: Any) -> str:
    del value  # a user:password@ in front of a host would be one
    pattern = context["pattern"]
    return IN_WORDS.get(pattern, f"must match {pattern}")


_SAYINGS: Mapping[str, Callable[[Mapping[str, Any], Any], str]] = {
    "missing": lambda _, __: "is required",
    "string_type": _wrong_type("a string"),
    "int_type": _wrong_type("a whole number"),
    "bool_type": _wrong_type("true or false"),
    "tuple_type": _wrong_type("a list"),
    "model_type": _wrong_type("an object"),
    "model_attributes_type": _wrong_type("an object"),
    "literal_error": _literal,
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda _, __: "must not be empty",
    "string_too_long": lambda c, v: f"must have at most {_plural(c['max_length'], 'character')}, not {len(v)}",
    "too_short": lambda c, _: f"must have at least {_plural(c['min_length'], 'item')}",
    "too_long": lambda c, v: f"must have at most {_plural(c['max_length'], 'item')}, not {len(v)}",
    "greater_than_equal": lambda c, v: f"must be at least {c['ge']}, not {_shown(v)}",
    "less_than_equal": lambda c, v: f"must be at most {c['le']}, not {_shown(v)}",
}
