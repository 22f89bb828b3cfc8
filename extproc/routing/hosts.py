"""Host names: of requests, as clients write them, and of rules."""


def bare_host(host: str) -> str:
    """A request's host in the form of a rule's: lower-case, without port and without the root's dot.

    An IPv6 address keeps its brackets; no rule has a name like that.
    """
    name, colon, port = host.rpartition(":")
    if colon and (not port or port.isdecimal()):
        host = name
    return host.lower().removesuffix(".")


def maybe_wildcard(host: str) -> str | None:
    """The one wildcard that covers a bare host: ``*.example.com`` for ``api.example.com``, None for a single label."""
    label, dot, parent = host.partition(".")
    return f"*.{parent}" if label and dot else None
