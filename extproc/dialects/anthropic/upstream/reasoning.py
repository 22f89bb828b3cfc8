"""How hard to think: ``thinking`` and ``output_config.effort``.

Sources, read 2026-11-22: platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting (which model takes
which ``thinking.type``), .../effort, .../thinking-tool-workflows; anthropic-python 2.12 ``types/thinking_config_*``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Reasoning, Request, Thinking, ToolCall, Turn

#: The smallest thinking budget, in tokens.
MIN_BUDGET: Final = 1024

#: An effort word as a budget, for models that take only that. The API gives no numbers; these are a guess.
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 1024,
    "minimal": 1024,
    "low": 1024,
    "medium": 4096,
    "high": 16384,
    "xhigh": 16384,
    "max": 16384,
}
_WORDS: Final = ("low", "medium", "high", "xhigh", "max")


@dataclass(slots=True)
class ReasoningPlan:
    """What the request says about thinking.

    Attributes:
        thinking: the ``thinking`` object.
        effort: ``output_config.effort``.
        own_sampling: whether the model then takes no temperature, top_p and top_k.
    """

    thinking: dict[str, Any] | None = None
    effort: str | None = None
    own_sampling: bool = False


def plan_reasoning(
    request: Request, capabilities: Capabilities, limit: int, losses: list[Loss], *, forced: bool
) -> ReasoningPlan:
    """The fields to send; ``forced``: a tool call is demanded; ``limit``: ``max_tokens``, thinking included."""
    asked = request.reasoning
    if asked is None:
        return ReasoningPlan()
    found: list[Loss] = []
    if capabilities.reasoning == "none":
        losses.append(Loss(asked.path, "drop", "the model does not think"))
        return ReasoningPlan()
    if asked.mode == "disabled" or (asked.mode is None and asked.effort == "none"):
        plan = _off(asked, capabilities, found)
    elif capabilities.reasoning == "budget":
        plan = _budget(asked, request, capabilities, limit, found)
    else:
        plan = _adaptive(asked, capabilities, found)
    if plan.own_sampling and forced and not capabilities.tools_while_thinking_forced:
        losses.append(Loss(asked.path, "drop", "the model does not think while a tool call is demanded"))
        return ReasoningPlan()
    losses += found
    return plan


def _off(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    effort = None if asked.effort in {None, "none"} else _maybe_effort(asked, capabilities, losses)
    if capabilities.reasoning == "budget":
        # Thinking is off unless asked for.
        return ReasoningPlan(effort=effort)
    if capabilities.thinking_off:
        return ReasoningPlan({"type": "disabled"}, effort)
    if capabilities.thinking_between_tools:
        losses.append(Loss(asked.path, "approx", "the model's thinking cannot be switched off; sent as between_tools"))
        return ReasoningPlan({"type": "between_tools"}, effort)
    losses.append(Loss(asked.path, "approx", "the model's thinking cannot be switched off; sent with low effort"))
    return ReasoningPlan(effort="low")


def _adaptive(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> ReasoningPlan:
    kind = "adaptive"
    effort = _maybe_effort(asked, capabilities, losses)
    if asked.mode == "between_tools" and capabilities.thinking_between_tools:
        kind = "between_tools"
    elif asked.mode == "between_tools":
        losses.append(Loss(asked.path, "approx", "the model cannot think only between tools; sent as adaptive"))
    elif asked.mode == "enabled":
        effort = effort or _effort_for(asked.budget)
        losses.append(Loss(asked.path, "approx", "the model sets its own thinking budget; sent as adaptive"))
    return ReasoningPlan(_thinking(kind, asked), effort, own_sampling=kind == "adaptive")


def _budget(
    asked: Reasoning, request: Request, capabilities: Capabilities, limit: int, losses: list[Loss]
) -> ReasoningPlan:
    effort = _maybe_effort(asked, capabilities, losses)
    if _lost_thinking(request.turns):
        reason = "the turn that called the tools has lost its thinking block; the model continues it without thinking"
        losses.append(Loss(asked.path, "drop", reason))
        return ReasoningPlan(effort=effort)
    budget = asked.budget if asked.budget is not None else min(_BUDGETS[asked.effort or "medium"], limit // 2)
    if asked.budget is not None and not MIN_BUDGET <= budget < limit:
        raise Refusal(
            asked.path, f"the budget must be {MIN_BUDGET} or more, and below {request.max_output_tokens_path}"
        )
    if budget < MIN_BUDGET:
        reason = (
            f"thinking takes {MIN_BUDGET} tokens or more, and {request.max_output_tokens_path} leaves no room for it"
        )
        losses.append(Loss(asked.path, "drop", reason))
        return ReasoningPlan(effort=effort)
    if asked.budget is None:
        losses.append(Loss(asked.path, "approx", f"the model takes a token budget; sent as {budget}"))
    return ReasoningPlan({**_thinking("enabled", asked), "budget_tokens": budget}, effort, own_sampling=True)


def _maybe_effort(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> str | None:
    """The nearest effort that the model knows: the next lower one, or its lowest.

    Of the models that take a budget most have no efforts beside it; what the table does not name, they do not have.
    """
    if asked.effort is None or (capabilities.reasoning == "budget" and not capabilities.efforts):
        return None
    wanted = "low" if asked.effort in {"minimal", "none"} else asked.effort
    known = [word for word in _WORDS if word in capabilities.efforts] or list(_WORDS)
    lower = [word for word in known if _WORDS.index(word) <= _WORDS.index(wanted)]
    word = lower[-1] if lower else known[0]
    if word != asked.effort:
        losses.append(Loss(asked.path, "approx", f"the model has no such effort; sent as {word}"))
    return word


_STEPS: Final[Mapping[int, str]] = {4096: "low", 16384: "medium"}


def _effort_for(budget: int | None) -> str | None:
    if budget is None:
        return None
    return next((word for below, word in _STEPS.items() if budget < below), "high")


def _thinking(kind: str, asked: Reasoning) -> dict[str, Any]:
    return (
        {"type": kind}
        if asked.display is None or kind == "between_tools"
        else {
            "type": kind,
            "display": asked.display,
        }
    )


def _lost_thinking(turns: tuple[Turn, ...]) -> bool:
    """Whether the conversation stands inside a tool loop whose calls came without their thinking.

    Manual thinking wants the last assistant message of a tool loop to begin with it (RooCodeInc/Roo-Code #11238,
    BerriAI/litellm #25375: "Expected thinking or redacted_thinking, but found tool_use").
    """
    last = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if last is None or not any(isinstance(block, ToolCall) for block in last.blocks):
        return False
    return not isinstance(last.blocks[0], Thinking)
