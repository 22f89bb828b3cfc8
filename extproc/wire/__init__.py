"""Framing of bytes, nothing about meaning: SSE, AWS event streams, JSON text, content encodings, multipart forms.

Every module is pure. What arrives in pieces goes through an object with `feed` and `finish`, whose output does not
depend on where the pieces were cut. What can go wrong is drawn in `extproc.wire.errors`.
"""
