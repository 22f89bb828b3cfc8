"""Embeddings: OpenAI's form for clients, and one module for each upstream's own.

An upstream that takes fewer texts than were sent refuses the batch and names its limit: one request of the client's is
one request upstream, as Envoy sends, retries, limits and counts it.
"""
