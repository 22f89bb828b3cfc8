"""OpenAI's chat completions as an upstream: requests written, answers, streams and errors read.

"OpenAI" is every server of this API: openai.com, Azure, and the many compatible ones, whose habits are read as well.
"""

from extproc.dialects.openai.upstream.errors import read_error
from extproc.dialects.openai.upstream.request import write_request
from extproc.dialects.openai.upstream.response import read_response
from extproc.dialects.openai.upstream.shapes import bad_answer
from extproc.dialects.openai.upstream.stream import stream_reader

__all__ = ["bad_answer", "read_error", "read_response", "stream_reader", "write_request"]
