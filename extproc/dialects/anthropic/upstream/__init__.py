"""Anthropic's messages as its API and its hosts take and give them."""
