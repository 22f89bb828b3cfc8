"""Where dialects are hosted: paths and version fields. Adds no mapping of its own."""
