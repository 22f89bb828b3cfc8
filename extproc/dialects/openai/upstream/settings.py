"""Everything of a request that is neither content nor tools: limits, sampling, reasoning, output format, the rest."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import OutputFormat, Reasoning, Request
from extproc.dialects.openai.upstream.schemas import maybe_unenforceable

_MAX_STOPS: Final = 4
_MAX_USER: Final = 128
_FORMAT_NAME: Final = "output"
#: The client's word -> ours. ``standard_only`` is Anthropic's.
_TIERS: Final[Mapping[str, str]] = {
    "standard_only": "default",
    "default": "default",
    "flex": "flex",
    "scale": "scale",
    "priority": "priority",
    "fast": "fast",
}
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Up to which budget of thinking tokens which word stands for it; a guess, as no maker gives numbers.
_BUDGETS: Final = ((4096, "low"), (16384, "medium"))


def write_limits(request: Request, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    """The output limit and the stop sequences."""
    members: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        if request.max_output_tokens < 1:
            raise Refusal(request.max_output_tokens_path, "the upstream takes 1 token or more, and warms no cache")
        members["max_tokens" if capabilities.legacy_max_tokens else "max_completion_tokens"] = request.max_output_tokens
    if request.stop:
        if capabilities.reasoning == "openai":
            losses.append(Loss(request.stop_path, "drop", "the model takes no stop sequences"))
        else:
            members["stop"] = request.stop[:_MAX_STOPS]
            if len(request.stop) > _MAX_STOPS:
                losses.append(
                    Loss(request.stop_path, "approx", f"the upstream takes {_MAX_STOPS}; the first of them are sent")
                )
    return members


def write_sampling(
    request: Request, capabilities: Capabilities, effort: str | None, losses: list[Loss]
) -> dict[str, Any]:
    """Sampling values, which a reasoning model takes only with effort ``none``; raises ``Refusal`` for some of them."""
    sampling = request.sampling
    free = capabilities.sampling != "none" or effort == "none"
    knobs = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    probabilities = {
        "logit_bias": sampling.logit_bias or None,
        "logprobs": sampling.logprobs or None,
        "top_logprobs": sampling.top_logprobs or None,
    }
    members: dict[str, Any] = {name: value for name, value in knobs.items() if value is not None}
    if not free:
        losses += [Loss(name, "drop", "the model takes no sampling values") for name in members]
        members.clear()
        if refused := next((name for name, value in probabilities.items() if value is not None), None):
            raise Refusal(refused, "the model gives and takes no token probabilities")
    elif capabilities.sampling == "one" and members.keys() >= {"temperature", "top_p"}:
        del members["top_p"]
        losses.append(Loss("top_p", "drop", "the model takes temperature or top_p; temperature is kept"))
    top_k = sampling.top_k
    if top_k is not None and (capabilities.top_k != "plain" or not free):
        losses.append(Loss("top_k", "drop", "the upstream has no top_k"))
        top_k = None
    rest = {**probabilities, "top_k": top_k, "seed": sampling.seed, "n": sampling.n}
    return members | {name: value for name, value in rest.items() if value is not None}


def plan_effort(request: Request, capabilities: Capabilities, losses: list[Loss]) -> str | None:
    """``reasoning_effort``, None to leave it to the model.

    Models that take no function tools while they reason are told not to reason when there are tools: their default
    would be refused as well. Raises ``Refusal`` where they cannot be told.
    """
    asked = request.reasoning
    if request.tools and not capabilities.tools_while_reasoning:
        if not capabilities.thinking_off:
            reason = "the model takes no tools in chat completions, as it always reasons; use another model"
            raise Refusal(request.tools[0].path, reason)
        if asked is None or not _is_off(asked):
            path = "tools" if asked is None else asked.path
            losses.append(Loss(path, "approx", "the model takes tools only without reasoning; sent with effort none"))
        return "none"
    if asked is None:
        return None
    if capabilities.reasoning in {"openai", "gpt_oss"}:
        return _effort(asked, capabilities, losses)
    if not _is_off(asked) or asked.mode == "between_tools":
        losses.append(Loss(asked.path, "drop", "the model's reasoning cannot be set"))
    return None


def write_format(output: OutputFormat | None, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any] | None:
    """``response_format``; raises ``Refusal`` where the model cannot be held to it."""
    if output is None:
        return None
    if output.kind == "json_object":
        if not capabilities.json_object:
            raise Refusal(output.path, "the upstream cannot be held to JSON; describe the format in the prompt")
        return {"type": "json_object"}
    if capabilities.structured_output != "schema":
        raise Refusal(output.path, "the model cannot be held to a schema; use a newer one, or a tool with that schema")
    schema = output.schema if output.schema is not None else "{}"
    form: dict[str, Any] = {"name": output.name or _FORMAT_NAME}
    if output.description is not None:
        form["description"] = output.description
    form["schema"] = msgspec.Raw(schema.encode())
    form["strict"] = output.strict is not False and _enforced(output, schema, losses)
    return {"type": "json_schema", "json_schema": form}


def write_rest(request: Request, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    """Who asks, and at which tier; raises ``Refusal`` for what the answer cannot do without."""
    members: dict[str, Any] = {}
    if request.user is not None:
        user = request.user if len(request.user) <= _MAX_USER else sha256(request.user.encode()).hexdigest()
        members["safety_identifier" if capabilities.maker == "openai" else "user"] = user
    tier = request.service_tier
    if tier is not None and tier != "auto":
        if tier in _TIERS and capabilities.maker == "openai":
            members["service_tier"] = _TIERS[tier]
        else:
            losses.append(Loss("service_tier", "drop", "the upstream has no such tier"))
    if request.metadata:
        losses.append(Loss("metadata", "drop", "the upstream keeps it with stored answers only"))
    for extra in request.extras:
        if extra.essential:
            raise Refusal(extra.path, "an upstream of OpenAI's API has no counterpart; leave it out")
        if not extra.harmless:
            losses.append(Loss(extra.path, "drop", "the upstream has no place for it"))
    return members


def _is_off(asked: Reasoning) -> bool:
    return asked.mode in {"disabled", "between_tools"} or (asked.mode is None and asked.effort == "none")


def _effort(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> str | None:
    if _is_off(asked):
        if capabilities.thinking_off and _knows("none", capabilities):
            if asked.mode == "between_tools":
                losses.append(Loss(asked.path, "approx", "the model reasons always or never; sent as effort none"))
            return "none"
        losses.append(Loss(asked.path, "drop", "the model's reasoning cannot be switched off"))
        return None
    word: str | None = asked.effort
    if word is None and asked.budget is not None:
        word = next((name for limit, name in _BUDGETS if asked.budget < limit), "high")
        losses.append(Loss(asked.path, "approx", f"the model takes no token budget; sent as effort {word}"))
    if word is None:
        return None
    nearest = _nearest(word, capabilities)
    if nearest != word:
        losses.append(Loss(asked.path, "approx", f"the model has no such effort; sent as {nearest}"))
    return nearest


def _knows(word: str, capabilities: Capabilities) -> bool:
    return not capabilities.efforts or word in capabilities.efforts


def _nearest(word: str, capabilities: Capabilities) -> str:
    """The word itself, else the closest one that the model knows; the lower of two equally close ones."""
    if _knows(word, capabilities):
        return word
    place = _EFFORTS.index(word)
    known = [other for other in capabilities.efforts if other != "none"] or list(capabilities.efforts)
    return min(known, key=lambda other: (abs(_EFFORTS.index(other) - place), _EFFORTS.index(other)))


def _enforced(output: OutputFormat, schema: str, losses: list[Loss]) -> bool:
    if problem := maybe_unenforceable(schema):
        losses.append(Loss(output.path, "approx", f"this schema is asked for, but cannot be enforced: {problem}"))
        return False
    return True
