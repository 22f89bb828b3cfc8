"""Which of Anthropic's betas Bedrock takes: any other one is a 400 ("invalid beta flag").

There is no list of AWS's own; this is what gateways found out by trying (BerriAI/litellm
``anthropic_beta_headers_config.json``, 2026-11; envoyproxy/ai-gateway for the one that has another name here).
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

_BOTH: Final = (
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
)

#: The client's word -> Converse's.
CONVERSE: Final[Mapping[str, str]] = MappingProxyType(
    {beta: beta for beta in (*_BOTH, "structured-outputs-2025-11-13")}
)

#: The client's word -> InvokeModel's.
INVOKE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{beta: beta for beta in _BOTH},
        "advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19",
        "compact-2026-01-12": "compact-2026-01-12",
        "context-management-2025-06-27": "context-management-2025-06-27",
        "dangerous-tool-use-2026-09-03": "dangerous-tool-use-2026-09-03",
        "mid-conversation-output-config-2026-07-01": "mid-conversation-output-config-2026-07-01",
        "mid-conversation-tool-changes-2026-07-01": "mid-conversation-tool-changes-2026-07-01",
        "tool-search-tool-2025-10-19": "tool-search-tool-2025-10-19",
    }
)


def split_betas(asked: Iterable[str], known: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The upstream's words for those that it takes, each once, and how the others are called."""
    kept: dict[str, None] = {}
    lost: dict[str, None] = {}
    for beta in asked:
        if beta in known:
            kept[known[beta]] = None
        elif beta:
            lost[beta] = None
    return list(kept), list(lost)
