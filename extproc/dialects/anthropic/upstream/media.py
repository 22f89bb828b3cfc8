"""Images, documents and search results.

Facts: anthropic-python 2.12 ``types/image_block_param``, ``types/document_block_param`` and
``types/search_result_block_param``, read 2026-11-22. The gateway fetches nothing: an address goes on as one, where the
upstream loads it, and is refused elsewhere.
"""

import binascii
import re
from typing import Any, Final

from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Document, Image, SearchResult, Text

_IMAGE_TYPES: Final = {
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_PDF: Final = "application/pdf"


def write_image(image: Image, losses: list[Loss], *, fetches: bool) -> dict[str, Any]:
    """An image block; raises ``Refusal`` for stored files, other formats, and addresses that nobody would load."""
    if image.detail not in {None, "auto"}:
        losses.append(Loss(f"{image.path}.image_url.detail", "drop", "Anthropic has no image detail level"))
    return {"type": "image", "source": _image_source(image, fetches=fetches)}


def _image_source(image: Image, *, fetches: bool) -> dict[str, Any]:
    if image.data is not None:
        kind = _IMAGE_TYPES.get((image.media_type or "").lower())
        if kind is None:
            raise Refusal(
                image.path, "Anthropic takes PNG, JPEG, GIF and WebP images; convert it, or name its true type"
            )
        return {"type": "base64", "media_type": kind, "data": image.data}
    if image.url is None:
        raise Refusal(image.path, "a file stored at one vendor cannot be sent to another; send a data URI")
    return _address(image.url, image.path, fetches=fetches)


def write_document(document: Document, losses: list[Loss], *, fetches: bool) -> dict[str, Any]:
    """A document block; raises ``Refusal`` for stored files and for formats other than PDF and plain text."""
    block: dict[str, Any] = {"type": "document", "source": _document_source(document, losses, fetches=fetches)}
    if document.filename:
        block["title"] = document.filename
    if document.context:
        block["context"] = document.context
    if document.citations:
        block["citations"] = {"enabled": True}
    return block


def _document_source(document: Document, losses: list[Loss], *, fetches: bool) -> dict[str, Any]:
    if document.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    if document.blocks is not None:
        content = [
            write_image(block, losses, fetches=fetches)
            if isinstance(block, Image)
            else {"type": "text", "text": block.text}
            for block in document.blocks
        ]
        return {"type": "content", "content": content}
    if document.url is not None:
        return _address(document.url, document.path, fetches=fetches)
    if document.data is None:
        raise Refusal(document.path, "a file stored at one vendor cannot be sent to another; send file_data")
    return _inline(document.data, (document.media_type or "").lower(), document.path)


def _inline(data: str, media_type: str, path: str) -> dict[str, Any]:
    if media_type == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": data}
    if not media_type.startswith("text/"):
        raise Refusal(path, "Anthropic takes PDF and plain text documents; convert it, or name its true media type")
    try:
        text = binascii.a2b_base64(data).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refusal(path, "a text document must be UTF-8") from error
    return {"type": "text", "media_type": "text/plain", "data": text}


def write_search_result(result: SearchResult) -> dict[str, Any]:
    """A search result block."""
    block: dict[str, Any] = {
        "type": "search_result",
        "source": result.source,
        "title": result.title,
        "content": [_text(text) for text in result.blocks],
    }
    if result.citations:
        block["citations"] = {"enabled": True}
    return block


def _text(text: Text) -> dict[str, Any]:
    return {"type": "text", "text": text.text}


def _address(url: str, path: str, *, fetches: bool) -> dict[str, Any]:
    if not fetches:
        raise Refusal(path, "this upstream loads nothing from the web; send the data itself (data:<type>;base64,...)")
    if not _WEB.match(url):
        raise Refusal(path, "Anthropic loads http and https addresses only; send the data itself")
    return {"type": "url", "url": url}
