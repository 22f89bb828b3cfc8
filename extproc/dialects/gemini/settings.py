"""``generationConfig``, and everything of a request that is neither content nor tools."""

import re
from typing import Any, Final

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Extra, OutputFormat, Request, Sampling
from extproc.dialects.contract import Destination
from extproc.dialects.gemini.openapi import write_openapi_schema
from extproc.dialects.gemini.reasoning import write_thinking
from extproc.dialects.gemini.schemas import write_json_schema
from extproc.dialects.gemini.shapes import ECHOED

_TIERS: Final = {"default": "standard", "standard": "standard", "standard_only": "standard"}
_TIERS_KEPT: Final = {**_TIERS, "flex": "flex", "priority": "priority"}
_LABEL_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")
_MAX_LABELS: Final = 64
#: ``seed`` is an int32.
_SEEDS: Final = range(-(2**31), 2**31)

#: Google's own fields that a client may send beside its dialect's, with the type that each has.
_VENDOR_FIELDS: Final[dict[str, type]] = {"safetySettings": list, "cachedContent": str}
#: Members of ``generationConfig`` that no dialect of a client has.
_VENDOR_CONFIG: Final = frozenset({"mediaResolution", "audioTimestamp", "enableEnhancedCivicAnswers"})


def write_config(request: Request, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    """``generationConfig``; raises ``Refusal``."""
    config: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        if request.max_output_tokens < 1:
            raise Refusal(request.max_output_tokens_path, "Gemini takes 1 token or more")
        config["maxOutputTokens"] = request.max_output_tokens
    _write_sampling(config, request.sampling, capabilities, losses)
    if request.stop:
        if "" in request.stop:
            raise Refusal(request.stop_path, "Gemini takes no empty stop sequence")
        config["stopSequences"] = request.stop
    if request.output_format is not None:
        _write_format(config, request.output_format, capabilities, losses)
    if (thinking := write_thinking(request.reasoning, capabilities, losses)) is not None:
        config["thinkingConfig"] = thinking
    return config


def _write_sampling(config: dict[str, Any], sampling: Sampling, capabilities: Capabilities, losses: list[Loss]) -> None:
    if sampling.logit_bias:
        raise Refusal("logit_bias", "Gemini takes no token biases")
    for path, name, value in (("temperature", "temperature", sampling.temperature), ("top_p", "topP", sampling.top_p)):
        if value is None:
            continue
        if capabilities.sampling == "none":
            losses.append(Loss(path, "drop", "the model takes no sampling values"))
        elif capabilities.sampling == "one" and "temperature" in config:
            losses.append(Loss(path, "drop", "the model takes temperature or top_p; temperature is kept"))
        else:
            config[name] = value
    config |= _choices(sampling, capabilities, losses)


def _choices(sampling: Sampling, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    """What says nothing when it is 0, 1 or false is left out then."""
    top_k, seed = sampling.top_k, sampling.seed
    if top_k is not None and capabilities.top_k != "plain":
        losses.append(Loss("top_k", "drop", "the model takes no top_k here"))
        top_k = None
    if seed is not None and seed not in _SEEDS:
        losses.append(Loss("seed", "drop", "Gemini takes seeds of 32 bits"))
        seed = None
    fields = {
        "topK": top_k,
        "seed": seed,
        "candidateCount": sampling.n if sampling.n != 1 else None,
        "presencePenalty": sampling.presence_penalty or None,
        "frequencyPenalty": sampling.frequency_penalty or None,
        "responseLogprobs": True if sampling.logprobs or sampling.top_logprobs else None,
        "logprobs": sampling.top_logprobs or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _write_format(config: dict[str, Any], output: OutputFormat, capabilities: Capabilities, losses: list[Loss]) -> None:
    """``responseFormat`` would replace these fields; Google's pages and its types do not yet agree on it."""
    if output.schema is None and not capabilities.json_object:
        raise Refusal(output.path, "the model takes an output format only with a schema")
    config["responseMimeType"] = "application/json"
    if output.description:
        losses.append(Loss(output.path, "drop", "Gemini has no place for a description beside the schema's own"))
    if output.schema is None:
        return
    if capabilities.json_schema_tools:
        name, schema = "responseJsonSchema", write_json_schema(output.schema, output.path, losses, root_object=False)
    else:
        name, schema = "responseSchema", write_openapi_schema(output.schema, output.path, losses, root_object=False)
    if schema is not None:
        config[name] = schema


def maybe_tier(request: Request, losses: list[Loss]) -> str | None:
    """``serviceTier``; ``auto`` is what the service does anyway."""
    tier = request.service_tier
    if tier is None or tier == "auto":
        return None
    if tier not in _TIERS_KEPT:
        losses.append(Loss("service_tier", "drop", "Gemini has the tiers standard, flex and priority"))
    return _TIERS_KEPT.get(tier)


def maybe_labels(request: Request, destination: Destination, losses: list[Loss]) -> dict[str, str] | None:
    """``labels``, which Vertex AI writes into the bill; all pairs or none."""
    pairs = request.metadata
    if not pairs:
        return None
    if not destination.hosted:
        losses.append(Loss("metadata", "drop", "only Vertex AI takes labels"))
        return None
    if len(pairs) <= _MAX_LABELS and all(
        _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value) for key, value in pairs.items()
    ):
        return dict(pairs)
    limits = f"{_MAX_LABELS} labels of 63 characters each"
    losses.append(Loss("metadata", "drop", f"Vertex AI takes {limits}: small letters, digits, _ and -"))
    return None


def write_rest(request: Request, config: dict[str, Any], losses: list[Loss], *, stored_files: bool) -> dict[str, Any]:
    """Google's own fields, as the client sent them; lists what has no place and raises ``Refusal`` for what must.

    Members of the client's ``generationConfig`` that only Google has are added to ``config``. ``stored_files``: a
    cached content may be named, though it is the gateway's own.
    """
    fields: dict[str, Any] = {}
    if request.user is not None:
        losses.append(Loss(request.user_path, "drop", "Gemini has no user"))
    if request.cache is not None:
        losses.append(Loss("cache_control", "drop", "Gemini decides by itself what it caches"))
    losses += [Loss("anthropic-beta", "drop", f"{beta} is a word of another API") for beta in request.betas]
    for extra in request.extras:
        if extra.path == "cachedContent" and not stored_files:
            raise Refusal(extra.path, "this backend reads no cached contents for its clients (capability storedFiles)")
        if isinstance(extra.value, _VENDOR_FIELDS.get(extra.path, ())):
            fields[extra.path] = extra.value
        elif extra.path == "generationConfig" and isinstance(extra.value, dict):
            _add_config(extra, config, losses)
        elif extra.essential:
            raise Refusal(extra.path, "Gemini has no counterpart; leave it out, or use another backend")
        elif not (extra.harmless or extra.path.rpartition("].")[2] in ECHOED):
            losses.append(Loss(extra.path, "drop", "Gemini has no place for it"))
    return fields


def _add_config(extra: Extra, config: dict[str, Any], losses: list[Loss]) -> None:
    for name, value in extra.value.items():
        if name in _VENDOR_CONFIG:
            config[name] = value
        else:
            losses.append(Loss(f"{extra.path}.{name}", "drop", "only what no other field says is taken from here"))
