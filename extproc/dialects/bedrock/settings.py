"""Everything of a request that is neither content nor tools: limits, sampling, tier, metadata, the rest."""

import re
from typing import Any

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Request, Sampling
from extproc.dialects.bedrock.betas import CONVERSE, split_betas
from extproc.dialects.bedrock.reasoning import ReasoningPlan

_TIERS = frozenset({"default", "flex", "priority", "reserved"})
_METADATA_TEXT = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]*", re.ASCII)
_MAX_METADATA_PAIRS = 16
_MAX_METADATA_CHARS = 256


def write_inference(
    request: Request, capabilities: Capabilities, thinking: ReasoningPlan, losses: list[Loss]
) -> dict[str, Any]:
    """``inferenceConfig``; raises ``Refusal`` for values outside its ranges."""
    config: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        if request.max_output_tokens < 1:
            raise Refusal(request.max_output_tokens_path, "Bedrock takes 1 token or more")
        config["maxTokens"] = request.max_output_tokens
    _write_sampling(config, request.sampling, capabilities, thinking, losses)
    if request.stop:
        if "" in request.stop:
            raise Refusal(request.stop_path, "Bedrock takes no empty stop sequence")
        config["stopSequences"] = request.stop
    return config


def _write_sampling(
    config: dict[str, Any],
    sampling: Sampling,
    capabilities: Capabilities,
    thinking: ReasoningPlan,
    losses: list[Loss],
) -> None:
    for path, name, value in (("temperature", "temperature", sampling.temperature), ("top_p", "topP", sampling.top_p)):
        if value is None:
            continue
        if not 0 <= value <= 1:
            raise Refusal(path, "Bedrock takes 0 to 1")
        if thinking.own_sampling:
            losses.append(Loss(path, "drop", "the model takes no sampling values while it thinks"))
        elif capabilities.sampling == "none":
            losses.append(Loss(path, "drop", "the model takes no sampling values"))
        elif capabilities.sampling == "one" and "temperature" in config:
            losses.append(Loss(path, "drop", "the model takes temperature or top_p; temperature is kept"))
        else:
            config[name] = value


def check_sampling(sampling: Sampling, losses: list[Loss]) -> None:
    """Lists the knobs that Converse does not have; raises ``Refusal`` for those that change what the answer holds."""
    if sampling.n is not None and sampling.n != 1:
        raise Refusal("n", "Bedrock gives one answer a request; ask once for each")
    if sampling.logprobs:
        raise Refusal("logprobs", "Bedrock gives no token probabilities")
    if sampling.top_logprobs:
        raise Refusal("top_logprobs", "Bedrock gives no token probabilities")
    if sampling.logit_bias:
        raise Refusal("logit_bias", "Bedrock takes no token biases")
    if sampling.seed is not None:
        losses.append(Loss("seed", "drop", "Converse has no seed"))
    for path, value in (
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
    ):
        if value:
            losses.append(Loss(path, "drop", "Converse has no penalties"))


def write_model_fields(
    request: Request, capabilities: Capabilities, thinking: ReasoningPlan, losses: list[Loss]
) -> dict[str, Any]:
    """``additionalModelRequestFields``, less the tool choice."""
    fields = dict(thinking.fields)
    if betas := _betas(request, capabilities, losses):
        fields["anthropic_beta"] = betas
    top_k = request.sampling.top_k
    if top_k is None:
        return fields
    if capabilities.top_k == "none" or thinking.own_sampling:
        losses.append(Loss("top_k", "drop", "the model takes no top_k here"))
    elif capabilities.top_k == "nova":
        fields["inferenceConfig"] = {"topK": top_k}
    else:
        fields["top_k"] = top_k
    return fields


def _betas(request: Request, capabilities: Capabilities, losses: list[Loss]) -> list[str]:
    """What of ``anthropic-beta`` the model takes; other makers' models know no such word."""
    kept, lost = split_betas(request.betas, CONVERSE if capabilities.maker == "anthropic" else {})
    if lost:
        losses.append(Loss("anthropic-beta", "drop", f"Bedrock does not know {len(lost)} of the betas"))
    return kept


def response_paths(request: Request, capabilities: Capabilities) -> list[str]:
    """``additionalModelResponseFieldPaths``: Claude says there which stop sequence it met."""
    return ["/stop_sequence"] if request.stop and capabilities.maker == "anthropic" else []


def maybe_tier(request: Request, losses: list[Loss]) -> dict[str, str] | None:
    """``serviceTier``; ``auto`` is what the service does anyway."""
    tier = request.service_tier
    if tier is None or tier == "auto":
        return None
    if tier in _TIERS:
        return {"type": tier}
    losses.append(Loss("service_tier", "drop", "Bedrock has the tiers default, flex and priority"))
    return None


def maybe_metadata(request: Request, losses: list[Loss]) -> dict[str, str] | None:
    """``requestMetadata``, which the service writes into its invocation log; all pairs or none."""
    pairs = request.metadata
    if not pairs:
        return None
    fits = len(pairs) <= _MAX_METADATA_PAIRS and all(
        key and _fits(key) and _fits(value) for key, value in pairs.items()
    )
    if fits:
        return dict(pairs)
    limits = f"{_MAX_METADATA_PAIRS} pairs of {_MAX_METADATA_CHARS} characters each"
    losses.append(Loss("metadata", "drop", f"Bedrock takes {limits}: letters, digits, spaces and :_@$#=/+,-."))
    return None


def _fits(text: str) -> bool:
    return len(text) <= _MAX_METADATA_CHARS and _METADATA_TEXT.fullmatch(text) is not None


def check_rest(request: Request, losses: list[Loss]) -> None:
    """Lists what has no place in Converse; raises ``Refusal`` for what the answer cannot do without."""
    if request.user is not None:
        losses.append(Loss(request.user_path, "drop", "Converse has no user"))
    for extra in request.extras:
        if extra.essential:
            raise Refusal(extra.path, "Bedrock has no counterpart; leave it out, or use a backend that speaks your API")
        if not extra.harmless:
            losses.append(Loss(extra.path, "drop", "Bedrock has no place for it"))
