"""A vendor's own message, before it is searched for what is not the caller's business."""

from typing import Final

#: Characters of a message that are told. It may quote a whole prompt, and is searched for names.
MAX_MESSAGE: Final = 4_096


def shortened(message: str) -> str:
    """The message, or as many whole words of it as are told: a name that is cut in half would not be known as one."""
    if len(message) <= MAX_MESSAGE:
        return message
    told = message[:MAX_MESSAGE]
    return told[: max(told.rfind(" "), told.rfind("\n"), 0)] + " (…)"
