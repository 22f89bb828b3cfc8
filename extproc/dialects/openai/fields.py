"""See ``extproc.dialects.fields``, which all client dialects share."""

from extproc.dialects.fields import Members, missing, unknown_word, wrong_type, wrong_value

__all__ = ["Members", "missing", "unknown_word", "wrong_type", "wrong_value"]
