"""Everything of a request that is neither content nor tools: limits, sampling, tier, identity, the rest."""

from typing import Any, Final

from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Request
from extproc.dialects.anthropic.upstream.reasoning import ReasoningPlan
from extproc.dialects.anthropic.versions import is_strict
from extproc.dialects.contract import Destination

#: OpenAI's words, which are the neutral ones.
_TIERS: Final = {"auto": "auto", "default": "standard_only"}


def output_limit(request: Request, to: Destination) -> int:
    """``max_tokens``, which the API demands.

    Raises:
        Refusal: the client gives none, and neither the backend's configuration nor the table of models has one.
    """
    for limit in (request.max_output_tokens, to.max_output_tokens, to.capabilities.max_output_tokens):
        if limit is not None:
            return limit
    reason = "Anthropic demands a limit; send one, or let the backend's defaults set maxOutputTokens"
    raise Refusal(request.max_output_tokens_path, reason)


def write_sampling(request: Request, to: Destination, thinking: ReasoningPlan, losses: list[Loss]) -> dict[str, Any]:
    """``temperature``, ``top_p`` and ``top_k`` where version, model and thinking leave a choice."""
    sampling, capabilities = request.sampling, to.capabilities
    written: dict[str, Any] = {}
    reason = _maybe_fixed(to, thinking)
    for name, value in (("temperature", sampling.temperature), ("top_p", sampling.top_p), ("top_k", sampling.top_k)):
        if value is None:
            continue
        if reason is not None:
            losses.append(Loss(name, "drop", reason))
        elif name == "top_k" and capabilities.top_k == "none":
            losses.append(Loss(name, "drop", "the model takes no top_k"))
        elif name == "top_p" and capabilities.sampling == "one" and "temperature" in written:
            losses.append(Loss(name, "drop", "the model takes temperature or top_p; temperature is kept"))
        elif name == "temperature" and value > 1:
            losses.append(Loss(name, "approx", "Anthropic takes 0 to 1; sent as 1"))
            written[name] = 1
        else:
            written[name] = value
    return written


def _maybe_fixed(to: Destination, thinking: ReasoningPlan) -> str | None:
    if is_strict(to.version):
        return "anthropic-version 2026-10-21 takes no sampling values"
    if to.capabilities.sampling == "none":
        return "the model takes no sampling values"
    return "the model takes no sampling values while it thinks" if thinking.own_sampling else None


def check_sampling(request: Request, losses: list[Loss]) -> None:
    """Lists the knobs that Anthropic does not have; raises ``Refusal`` for those that change what the answer holds."""
    sampling = request.sampling
    if sampling.n is not None and sampling.n != 1:
        raise Refusal("n", "Anthropic gives one answer a request; ask once for each")
    if sampling.logprobs:
        raise Refusal("logprobs", "Anthropic gives no token probabilities")
    if sampling.top_logprobs:
        raise Refusal("top_logprobs", "Anthropic gives no token probabilities")
    absent = (
        ("seed", sampling.seed is not None, "seed"),
        ("logit_bias", bool(sampling.logit_bias), "token biases"),
        ("frequency_penalty", bool(sampling.frequency_penalty), "penalties"),
        ("presence_penalty", bool(sampling.presence_penalty), "penalties"),
    )
    losses += [Loss(path, "drop", f"Anthropic has no {what}") for path, asked, what in absent if asked]


def write_stop(request: Request, losses: list[Loss]) -> list[str]:
    """``stop_sequences``; the API refuses those of white space alone."""
    kept = [word for word in request.stop if word.strip()]
    if len(kept) < len(request.stop):
        losses.append(Loss(request.stop_path, "drop", "Anthropic takes no stop sequence of white space alone"))
    return kept


def maybe_tier(request: Request, to: Destination, losses: list[Loss]) -> str | None:
    """``service_tier``, which only Anthropic's own API has: the clouds sell their capacity in their own ways."""
    tier = request.service_tier
    if tier is None:
        return None
    if to.hosted:
        if tier != "auto":
            losses.append(
                Loss("service_tier", "drop", "a cloud that hosts Claude has no service tiers in its requests")
            )
        return None
    if tier not in _TIERS:
        losses.append(Loss("service_tier", "drop", "Anthropic has the tiers auto and default (standard_only)"))
    return _TIERS.get(tier)


def check_rest(request: Request, losses: list[Loss]) -> None:
    """Lists what has no place in the API; raises ``Refusal`` for what the answer cannot do without."""
    if request.metadata:
        losses.append(Loss("metadata", "drop", "Anthropic keeps no metadata but the user"))
    for extra in request.extras:
        if extra.essential:
            raise Refusal(extra.path, "Anthropic has no counterpart; leave it out, or use a backend that has it")
        if not extra.harmless:
            losses.append(Loss(extra.path, "drop", "Anthropic has no place for it"))
