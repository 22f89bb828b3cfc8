"""The table of the chart's values, from the comments in its ``values.yaml``, which stand above them as ``# -- ``."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z]\w*):(?P<rest>.*)")
_COMMENT = re.compile(r" *# -- (?P<text>.*)")
#: Between these two, in the README.
BEGIN, END = "<!-- values, by `make chart` -->", "<!-- end of values -->"


def table(values: str) -> str:
    """Markdown: path, default and meaning of every value, in the file's order.

    Raises ``ValueError`` for a value without a comment.
    """
    rows = ["| value | default | |", "| --- | --- | --- |"]
    rows += [f"| `{path}` | {_shown(value)} | {_cell(text)} |" for path, value, text in _described(values)]
    return "\n".join(rows) + "\n"


def filled(readme: str, values: str) -> str:
    """The README with the table of these values. Raises ``ValueError`` when it has no place for it."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the table: {BEGIN} ... {END}")
    return f"{before}{begin}\n{table(values)}{end}{after}"


def _described(values: str) -> Iterator[tuple[str, Any, str]]:
    texts = dict(_comments(values))
    for path, value in _leaves(yaml.safe_load(values), (), texts):
        if path not in texts:
            raise ValueError(f"values.yaml: {'.'.join(path)} has no comment that begins with '# -- '")
        yield ".".join(path), value, texts[path]


def _leaves(
    values: Mapping[str, Any], above: tuple[str, ...], texts: Mapping[tuple[str, ...], str]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What has a comment, or nothing below itself that could have one."""
    for key, value in values.items():
        path = (*above, key)
        if isinstance(value, Mapping) and value and path not in texts:
            yield from _leaves(value, path, texts)
        else:
            yield path, value


def _comments(values: str) -> Iterator[tuple[tuple[str, ...], str]]:
    open_at: list[tuple[int, str]] = []
    text = None
    for line in values.splitlines():
        if comment := _COMMENT.fullmatch(line):
            text = comment["text"]
        elif found := _LINE.fullmatch(line):
            indent = len(found["indent"])
            open_at = [*(one for one in open_at if one[0] < indent), (indent, found["key"])]
            if text is not None:
                yield tuple(key for _, key in open_at), text
                text = None


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`" if value not in ("", [], {}) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
