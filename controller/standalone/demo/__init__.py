"""A provider that needs no key: OpenAI, Anthropic and Bedrock Converse on a loopback port, with answers made up.

It is strict where the vendors are strict, so that a wrong translation shows, and it fails on demand: ``script`` lists
the words.
"""

from controller.standalone.demo.provider import MANIFEST, DemoProvider

__all__ = ["MANIFEST", "DemoProvider"]
