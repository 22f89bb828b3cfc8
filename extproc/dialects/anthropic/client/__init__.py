"""Anthropic's messages as clients send and read them."""
