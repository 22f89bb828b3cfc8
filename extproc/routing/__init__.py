"""From host, headers and model to the rule that serves a request, and from its weights to one backend.

Compiled once for each configuration, then only read: by dictionary where a rule names an exact value, by one automaton
for many regular expressions, never by a scan of the rules.
"""
