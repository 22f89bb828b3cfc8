"""Random values that YAML's core schema can say, as Python's own emitter writes them."""

import re

from hypothesis import strategies as st

#: Text that reads as something else where it is not quoted, beside any other.
TEXT = st.sampled_from(
    ["", "~", "null", "true", "no", "on", "1", "0x1f", "1.5", ".inf", "1:30", "<<", "- a", "a: b"]
) | (
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufeff"), max_size=8)
    # Text to PyYAML, which writes it without quotes; a number to YAML 1.2 and to Kubernetes.
    .filter(lambda text: re.fullmatch(r"[-+]?[0-9.]+e[-+]?[0-9]+", text, re.IGNORECASE) is None)
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8)
