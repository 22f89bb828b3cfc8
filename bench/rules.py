"""Does a decision cost more when there are more rules? The compiled index alone, in this process."""

import time

from extproc.config.schema import Config, HeaderMatch, Rule, WeightedBackend
from extproc.config.schema import OutputSchema as Output
from extproc.routing.index import compile_index

_LOOKUPS = 20_000
_ROUNDS = 7


def _config(rules: int, kind: str) -> Config:
    backend = WeightedBackend(name="b", output_schema=Output(schema_="OpenAI"))

    def match(i: int) -> HeaderMatch:
        if kind == "exact":
            return HeaderMatch(name="x-ai-eg-model", value=f"model-{i}")
        return HeaderMatch(name="x-ai-eg-model", value=f"model-{i}-.*", type="RegularExpression")

    return Config(rules=tuple(Rule(source=f"r{i}", headers=(match(i),), backends=(backend,)) for i in range(rules)))


def _best_us(rules: int, kind: str) -> float:
    index = compile_index(_config(rules, kind))
    headers = {":path": "/v1/chat/completions", ":authority": "gw", "x-request-id": "1", "user-agent": "bench"}
    wanted = f"model-{rules // 2}" + ("" if kind == "exact" else "-x")
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.process_time()
        for _ in range(_LOOKUPS):
            index.match("gw:80", headers, wanted, client="OpenAI")
        best = min(best, time.process_time() - start)
    return best / _LOOKUPS * 1e6


def measure() -> dict[str, dict[str, float]]:
    """Microseconds of CPU a decision, best of several rounds, for exact and for regular-expression rules."""
    out = {}
    for kind in ("exact", "regex"):
        few, many = _best_us(10, kind), _best_us(10_000, kind)
        out[kind] = {"rules_10_us": few, "rules_10000_us": many, "ratio": many / few}
    return out
