"""See ``extproc.dialects.body``, which all client dialects share."""

from extproc.dialects.body import invalid_json, parse, peek

__all__ = ["invalid_json", "parse", "peek"]
