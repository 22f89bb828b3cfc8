"""How hard to think, in each model family's own words.

Sources: botocore 1.44 ``OutputConfig.effort`` (low, medium, high, xhigh, max); Claude's ``thinking`` object
(platform.claude.com extended and adaptive thinking pages, 2026-11-22); Nova 2's ``reasoningConfig``
(docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html: high effort takes no maxTokens, temperature or
topP); OpenAI models on Converse (github.com/anomalyco/opencode #48195: ``reasoning_effort`` for gpt-oss,
``reasoning.effort`` for the others).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.conversation.capabilities import Capabilities, ReasoningStyle
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Reasoning, Request, Thinking, ToolCall, Turn

#: Claude's smallest thinking budget, in tokens.
MIN_BUDGET = 1024

# An effort word as a token budget. Claude gives no numbers; these are a guess, the steps of Gemini's own table.
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_EFFORT_WORDS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_ASCENDING = ("low", "medium", "high", "xhigh", "max")
_THREE_WORDS = {**_EFFORT_WORDS, "xhigh": "high", "max": "high"}


@dataclass(slots=True)
class ReasoningPlan:
    """What the request says about thinking.

    Attributes:
        fields: members of ``additionalModelRequestFields``.
        effort: ``outputConfig.effort``.
        thinks: whether thinking was asked for.
        own_sampling: whether the model then takes no temperature and top_p.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    effort: str | None = None
    thinks: bool = False
    own_sampling: bool = False


def plan_reasoning(request: Request, capabilities: Capabilities, losses: list[Loss], *, forced: bool) -> ReasoningPlan:
    """The fields to send; ``forced``: a tool call is demanded, which some models cannot have together with thinking."""
    asked = request.reasoning
    if asked is None:
        return ReasoningPlan()
    if asked.budget is not None and capabilities.reasoning not in {"budget", "adaptive"}:
        other = "leave it out" if capabilities.reasoning == "none" else "use reasoning_effort"
        raise Refusal(asked.path, f"the model takes no thinking budget; {other}")
    found: list[Loss] = []
    plan = _STYLES[capabilities.reasoning](asked, request, capabilities, found)
    if plan.thinks and forced and not capabilities.tools_while_thinking_forced:
        losses.append(Loss(asked.path, "drop", "the model does not think while a tool call is demanded"))
        return ReasoningPlan()
    losses += found
    if asked.mode == "between_tools" and plan.thinks and capabilities.reasoning in _WITHOUT_MODES:
        losses.append(Loss(asked.path, "approx", "the model cannot think only between tools; it thinks as it does"))
    return plan


def _none(asked: Reasoning, _request: Request, _capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    losses.append(Loss(asked.path, "drop", "the model's thinking cannot be set"))
    return ReasoningPlan()


def _adaptive(asked: Reasoning, _request: Request, capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    effort = _word(asked, _known_efforts(capabilities), losses)
    if _is_off(asked):
        plan = _off(asked, capabilities, losses)
        plan.effort = effort
        return plan
    if _is_effort_alone(asked):
        return ReasoningPlan(effort=effort)
    mode = asked.mode or "adaptive"
    if mode == "enabled":
        mode = "adaptive"
        losses.append(Loss(asked.path, "approx", "the model sets its own thinking budget; sent as adaptive"))
    elif mode == "between_tools" and not capabilities.thinking_between_tools:
        mode = "adaptive"
        losses.append(Loss(asked.path, "approx", "the model cannot think only between tools; sent as adaptive"))
    return ReasoningPlan({"thinking": _thinking(mode, asked)}, effort, thinks=True, own_sampling=True)


def _budget(asked: Reasoning, request: Request, capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    if _is_off(asked):
        return _off(asked, capabilities, losses)
    if asked.mode == "between_tools":
        raise Refusal(asked.path, "the model cannot think only between tools; use 'enabled' with budget_tokens")
    if _is_effort_alone(asked):
        losses.append(Loss(asked.path, "drop", "the model takes no effort; tell it to think by a token budget"))
        return ReasoningPlan()
    if _lost_thinking(request.turns):
        reason = "the turn that called the tools has lost its thinking block; the model continues it without thinking"
        losses.append(Loss(asked.path, "drop", reason))
        return ReasoningPlan()
    budget = _budget_below(request.max_output_tokens, asked, request, losses)
    if budget is None:
        return ReasoningPlan()
    thinking = {**_thinking("enabled", asked), "budget_tokens": budget}
    return ReasoningPlan({"thinking": thinking}, thinks=True, own_sampling=True)


def _budget_below(limit: int | None, asked: Reasoning, request: Request, losses: list[Loss]) -> int | None:
    """The token budget, None where the output limit leaves no room for one; an effort word gets half of it at most."""
    if asked.budget is not None:
        if asked.budget < MIN_BUDGET or (limit is not None and asked.budget >= limit):
            reason = f"the budget must be {MIN_BUDGET} or more, and below {request.max_output_tokens_path}"
            raise Refusal(asked.path, reason)
        if asked.effort is not None:
            losses.append(Loss(asked.path, "drop", "the model takes a token budget; the effort beside it is left out"))
        return asked.budget
    budget = _BUDGETS.get(asked.effort or "medium", _BUDGETS["medium"])
    if limit is not None:
        budget = min(budget, limit // 2)
    if budget < MIN_BUDGET:
        reason = (
            f"thinking takes {MIN_BUDGET} tokens or more, and {request.max_output_tokens_path} leaves no room for it"
        )
        losses.append(Loss(asked.path, "drop", reason))
        return None
    losses.append(Loss(asked.path, "approx", f"the model takes a token budget; sent as {budget}"))
    return budget


def _nova(asked: Reasoning, request: Request, _capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    if _is_off(asked):
        return ReasoningPlan({"reasoningConfig": {"type": "disabled"}})
    effort = _word(asked, _THREE_WORDS, losses) or "medium"
    if effort == "high" and request.max_output_tokens is not None:
        effort = "medium"
        reason = f"Nova takes high effort only without {request.max_output_tokens_path}; sent as medium"
        losses.append(Loss(asked.path, "approx", reason))
    config = {"type": "enabled", "maxReasoningEffort": effort}
    return ReasoningPlan({"reasoningConfig": config}, thinks=True, own_sampling=effort == "high")


def _gpt_oss(asked: Reasoning, _request: Request, _capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    if _is_off(asked):
        losses.append(Loss(asked.path, "drop", "the model always thinks"))
        return ReasoningPlan()
    effort = _word(asked, _THREE_WORDS, losses) or "medium"
    return ReasoningPlan({"reasoning_effort": effort}, thinks=True)


def _openai(asked: Reasoning, _request: Request, _capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    effort = "none" if _is_off(asked) else _word(asked, _EFFORT_WORDS, losses) or "medium"
    return ReasoningPlan({"reasoning": {"effort": effort}}, thinks=effort != "none")


#: Whose thinking is more or less, and never at certain places only.
_WITHOUT_MODES: Final = frozenset({"nova", "gpt_oss", "openai"})
_Writer = Callable[[Reasoning, Request, Capabilities, list[Loss]], ReasoningPlan]
_STYLES: Mapping[ReasoningStyle, _Writer] = {
    "none": _none,
    "adaptive": _adaptive,
    "budget": _budget,
    "nova": _nova,
    "gpt_oss": _gpt_oss,
    "openai": _openai,
}


def _is_effort_alone(asked: Reasoning) -> bool:
    """Anthropic's effort is no wish to think: a model that thinks unasked goes on to, and others do not begin."""
    return asked.mode is None and asked.path.startswith("output_config")


def _known_efforts(capabilities: Capabilities) -> Mapping[str, str]:
    """Each word, or the nearest below it that the model knows."""
    if not capabilities.efforts:
        return _EFFORT_WORDS
    known = [word for word in _ASCENDING if word in capabilities.efforts]
    nearest = {word: _nearest(word, known) for word in _ASCENDING}
    return {**nearest, "minimal": nearest["low"]}


def _nearest(word: str, known: list[str]) -> str:
    below = [other for other in known if _ASCENDING.index(other) <= _ASCENDING.index(word)]
    return below[-1] if below else known[0]


def _is_off(asked: Reasoning) -> bool:
    return asked.mode == "disabled" or (asked.mode is None and asked.effort == "none")


def _off(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    if not capabilities.thinking_off:
        losses.append(Loss(asked.path, "drop", "the model's thinking cannot be switched off"))
        return ReasoningPlan()
    return ReasoningPlan({"thinking": {"type": "disabled"}})


def _word(asked: Reasoning, words: Mapping[str, str], losses: list[Loss]) -> str | None:
    word = words.get(asked.effort or "")
    if word is not None and word != asked.effort:
        losses.append(Loss(asked.path, "approx", f"the model has no such effort; sent as {word}"))
    return word


def _thinking(kind: str, asked: Reasoning) -> dict[str, Any]:
    return {"type": kind} if asked.display is None else {"type": kind, "display": asked.display}


def thinking_is_whole(turns: tuple[Turn, ...]) -> bool:
    """Whether every reasoning block can go back to its maker: signed, or redacted.

    One that cannot spoils all, as the model checks them together; and none is ever made up.
    """
    return all(
        bool(block.signature) or block.redacted is not None
        for turn in turns
        for block in turn.blocks
        if isinstance(block, Thinking)
    )


def _lost_thinking(turns: tuple[Turn, ...]) -> bool:
    """Whether the conversation stands inside a tool loop whose calls came without their thinking.

    Claude with manual thinking wants the last assistant message of a tool loop to begin with it (RooCodeInc/Roo-Code
    #11238, BerriAI/litellm #25375: "Expected thinking or redacted_thinking, but found tool_use").
    """
    last = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if last is None or not any(isinstance(block, ToolCall) for block in last.blocks):
        return False
    return not isinstance(last.blocks[0], Thinking) or not thinking_is_whole(turns)
