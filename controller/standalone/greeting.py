"""The line that says how to use the gateway: a request that its configuration would serve, as a curl to copy."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from extproc.config.names import MODEL_HEADERS
from extproc.config.schema import Config, Match, Rule

#: Stands for a model name that nobody but the user knows.
ANY_MODEL = "MODEL"


def models(config: Config) -> list[str]:
    """The models that rules name exactly, in the order of the rules."""
    return list(
        dict.fromkeys(model for rule in config.rules for match in rule.alternatives for model in _models(match))
    )


def curls(config: Config, base_url: str, *, key_variable: str | None = None, most: int = 2) -> list[str]:
    """Commands that would be answered, one for each of the first rules that one can be made up for.

    ``key_variable`` is the environment variable that holds the client's key; the shell fills it in, not we.
    """
    usable = [rule for rule in config.rules if rule.backends and rule.refusal is None]
    found = [_curl(rule, match, base_url, key_variable) for rule in usable if (match := _maybe_exact(rule))]
    return list(dict.fromkeys(found))[:most]


def _maybe_exact(rule: Rule) -> Match | None:
    """The first alternative that asks for nothing but exact values: what an expression matches is not ours to guess."""
    exact = (match for match in rule.alternatives if all(header.type == "Exact" for header in match.headers))
    return next(exact, None)


def _curl(rule: Rule, match: Match, base_url: str, key_variable: str | None) -> str:
    headers = {header.name: header.value for header in match.headers if header.name not in MODEL_HEADERS}
    if rule.hostnames:
        headers["Host"] = min(rule.hostnames, key=lambda name: "*" in name).replace("*", "any")
    body: dict[str, Any] = {
        "model": next(_models(match), ANY_MODEL),
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
    }
    path = "/v1/chat/completions"
    if rule.input_schema is not None and rule.input_schema.schema_ == "Anthropic":
        path = "/v1/messages"
        body["max_tokens"] = 1024
        headers["anthropic-version"] = "2023-06-01"
    parts = ["curl", "-N", f"{base_url}{path}", *_flags(headers), "-d", json.dumps(body)]
    line = shlex.join(parts)
    return f'{line} -H "Authorization: Bearer ${key_variable}"' if key_variable else line


def _flags(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in {"content-type": "application/json", **headers}.items():
        yield from ("-H", f"{name}: {value}")


def _models(match: Match) -> Iterator[str]:
    for header in match.headers:
        if header.name in MODEL_HEADERS and header.type == "Exact":
            yield header.value
