"""The routing rules said once more, without any cleverness: try every match of every rule, keep the best."""

import re
from collections.abc import Mapping

from extproc.config.names import MODEL_HEADERS, gateway_headers
from extproc.config.schema import Config, HeaderMatch, Rule

Precedence = tuple[int, int, int, int]


def serving_rule(config: Config, host: str, headers: Mapping[str, str], model: str, client: str) -> int | None:
    """The position of the rule that serves a request."""
    fitting: list[Precedence] = []
    for i, rule in enumerate(config.rules):
        specificity = _specificity(rule, host)
        schema = rule.input_schema or config.input_schema
        if specificity is None or (schema is not None and schema.schema_ != client):
            continue
        for j, match in enumerate(rule.alternatives):
            if all(_holds(config, header, headers, model) for header in match.headers):
                fitting.append((-specificity, -len(match.headers), i, j))
    return min(fitting)[2] if fitting else None


def _specificity(rule: Rule, host: str) -> int | None:
    """2 for the name itself, 1 for a wildcard, 0 for any host, None when the rule is for other hosts."""
    if not rule.hostnames:
        return 0
    bare = re.sub(r":[0-9]*\Z", "", host).lower().removesuffix(".")
    if bare in rule.hostnames:
        return 2
    for name in rule.hostnames:
        if name.startswith("*.") and re.fullmatch(r"[^.]+" + re.escape(name[1:]), bare):
            return 1
    return None


def _holds(config: Config, condition: HeaderMatch, headers: Mapping[str, str], model: str) -> bool:
    if condition.name in (*MODEL_HEADERS, config.model_name_header_key):
        value = model or None
    elif condition.name in gateway_headers(config.backend_routing_header_key, config.model_name_header_key):
        value = None
    else:
        raw = headers.get(":authority" if condition.name == "host" else condition.name)
        value = None if raw is None else raw.encode("latin-1").decode("utf-8")
    if value is None:
        return False
    if condition.type == "Exact":
        return value == condition.value
    return re.fullmatch(condition.value, value) is not None
