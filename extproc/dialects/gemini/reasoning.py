"""How hard to think: ``thinkingConfig`` with a level (third generation) or a token budget (2.5), never both.

Levels and budgets by model: docs.cloud.google.com/gemini-enterprise-agent-platform/models/thinking; the numbers for
OpenAI's words are those of Google's own OpenAI endpoint (ai.google.dev/gemini-api/docs/openai), both 2026-11-22.
"""

from typing import Any, Final

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Reasoning

_BUDGETS: Final = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
#: From the least to the most.
_LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh")
#: Up to so many tokens, an explicit budget is that level.
_LEVEL_BY_BUDGET: Final = ((512, "minimal"), (4096, "low"), (16384, "medium"))
#: Lets a 2.5 model choose its budget.
_AUTOMATIC: Final = -1


def write_thinking(asked: Reasoning | None, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any] | None:
    """``thinkingConfig``; raises ``Refusal`` for thinking only between tool calls, which Gemini cannot be told."""
    if asked is None:
        return None
    if capabilities.reasoning not in {"level", "budget"}:
        losses.append(Loss(asked.path, "drop", "the model's thinking cannot be set"))
        return None
    if asked.mode == "between_tools":
        raise Refusal(asked.path, "Gemini cannot think only between tools; use 'adaptive' or 'enabled'")
    if _is_off(asked):
        off = _off_level if capabilities.reasoning == "level" else _off_budget
        return off(asked, capabilities, losses)
    # A client that asks for thinking by its own object sees it, unless it says otherwise; an effort word has no such
    # meaning at OpenAI, where thoughts are never shown.
    config: dict[str, Any] = {}
    if asked.display is not None:
        config["includeThoughts"] = asked.display != "omitted"
    elif asked.mode is not None:
        config["includeThoughts"] = True
    how = _level if capabilities.reasoning == "level" else _budget
    return (config | how(asked, capabilities, losses)) or None


def _is_off(asked: Reasoning) -> bool:
    return asked.mode == "disabled" or (asked.mode is None and asked.effort == "none")


def _known_levels(capabilities: Capabilities) -> tuple[str, ...]:
    return tuple(level for level in _LEVELS if level in (capabilities.efforts or _LEVELS)) or _LEVELS


def _off_level(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    least = _known_levels(capabilities)[0]
    losses.append(Loss(asked.path, "approx", f"the model's thinking cannot be switched off; sent as {least}"))
    return {"thinkingLevel": least.upper()}


def _off_budget(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    if capabilities.thinking_off:
        return {"thinkingBudget": 0}
    least = capabilities.budget_range[0] if capabilities.budget_range else 1
    losses.append(Loss(asked.path, "approx", f"the model's thinking cannot be switched off; sent as {least} tokens"))
    return {"thinkingBudget": least}


def _level(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    wanted: str | None = asked.effort if asked.effort != "none" else None
    if wanted is None and asked.budget is not None:
        wanted = next((level for most, level in _LEVEL_BY_BUDGET if asked.budget <= most), "high")
    if wanted is None:
        return {}
    known = _known_levels(capabilities)
    rank = _LEVELS.index("xhigh" if wanted == "max" else wanted)
    # The next one up, so that nobody gets less than was asked for; the most there is where there is none.
    level = next((level for level in known if _LEVELS.index(level) >= rank), known[-1])
    if asked.effort is None:
        losses.append(Loss(asked.path, "approx", f"the model takes no thinking budget; sent as {level}"))
    elif level != wanted:
        losses.append(Loss(asked.path, "approx", f"the model has no such effort; sent as {level}"))
    return {"thinkingLevel": level.upper()}


def _budget(asked: Reasoning, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    least, most = capabilities.budget_range or (1, _BUDGETS["high"])
    if asked.budget is not None:
        fitting = min(max(asked.budget, least), most)
        if fitting != asked.budget:
            losses.append(Loss(asked.path, "approx", f"the model thinks {least} to {most} tokens; sent as {fitting}"))
        return {"thinkingBudget": fitting}
    if asked.effort in {None, "none"}:
        return {"thinkingBudget": _AUTOMATIC}
    budget = min(max(_BUDGETS.get(asked.effort, most), least), most)
    losses.append(Loss(asked.path, "approx", f"the model takes a token budget; sent as {budget}"))
    return {"thinkingBudget": budget}
