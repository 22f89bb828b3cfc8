"""A vendor's own message, before it is searched for what is not the caller's business, or for whose fault it is."""

from typing import Final

#: Characters of a message that are told. It may quote a whole prompt, and is searched for names.
MAX_MESSAGE: Final = 4_096


def shortened(message: str) -> str:
    """The message, or as many whole words of it as are told: a name that is cut in half would not be known as one."""
    if len(message) <= MAX_MESSAGE:
        return message
    told = message[:MAX_MESSAGE]
    return told[: max(told.rfind(" "), told.rfind("\n"), 0)] + " (…)"


#: How messages about a key begin where neither status nor code says so: xAI answers 400 and Bedrock, of its API keys,
#: 403 with ``AccessDeniedException``, which it says of models as well (users' reports, unconfirmed).
_OF_THE_KEY: Final = ("incorrect api key", "invalid api key", "api key not valid", "authentication failed")


def maybe_key_fault(message: str) -> str | None:
    """The beginning by which a message is known to be about the key, None for any other. It is a phrase of ours."""
    told = message[:64].lstrip().lower()
    return next((phrase for phrase in _OF_THE_KEY if told.startswith(phrase)), None)
