"""Regular expressions of the configuration: RE2, whose matching time is linear in the text whatever the pattern is.

Syntax: https://github.com/google/re2/wiki/Syntax. No back-references and no look-around.
"""

import re2

from extproc.config.errors import quoted, shortened

#: What one compiled pattern may take, in bytes. RE2's own default is 8 MiB; 1 MiB holds what people write, and keeps
#: thousands of patterns in one process harmless. Only counted repetitions of large classes go beyond it.
MAX_PATTERN_BYTES = 1 << 20


def pattern_options(max_bytes: int = MAX_PATTERN_BYTES) -> re2.Options:
    """The options of every pattern here: silent (RE2 writes to stderr by default), no captures, a bounded size."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = max_bytes
    return options


def maybe_pattern_fault(pattern: str) -> str | None:
    """Why RE2 refuses ``pattern``, in its own words; None when the pattern is fine."""
    try:
        re2.compile(pattern, pattern_options())
    except re2.error as error:
        # The binding hands RE2's message over as bytes; it ends with the part of the pattern that is wrong.
        reason = shortened(error.args[0].decode("utf-8", "replace"))
        return reason if reason.isprintable() else quoted(reason)
    return None
