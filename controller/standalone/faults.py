"""What ends a command with a message instead of a traceback."""


class Fault(Exception):
    """Something that the person at the command line can mend; the message says what. ``exit_code`` is the command's."""

    exit_code: int = 1


class Misuse(Fault):
    """What was asked for makes no sense."""

    exit_code = 2


class CannotListen(Fault):
    """We cannot listen where we are to listen; the message says why and names the flag that chooses otherwise."""


class NotReady(Fault):
    """Something did not become ready in time."""


class Rejected(Fault):
    """The manifests have errors; they have been reported."""


class Unreadable(Misuse):
    """A path cannot be read; the message names it."""


class Unwritable(Misuse):
    """A path cannot be written to; the message names it."""


class NoRoutes(Fault):
    """There is nothing to serve in what was read."""


class NoAuthorities(Fault):
    """There are no certificates of authorities to check upstreams against."""


class NothingToRun(Misuse):
    """No file, no environment, no demo; the message says what there is to choose from."""
