"""Images, sounds and documents as parts; and the refusal of what Gemini does not read.

Media types: docs.cloud.google.com/vertex-ai/generative-ai/docs/models/gemini/3-flash; remote files: blog.google
``gemini-api-new-file-limits`` and ai.google.dev/gemini-api/docs/file-input-methods (2026-11-22): both hosts fetch
public and signed ``https`` addresses, though not for every old model; ``gs://`` only Vertex AI reads by itself.
"""

from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Audio, Document, Image, SearchResult, Text
from extproc.dialects.contract import Destination

Part = dict[str, Any]

_IMAGES: Final = {word: word for word in ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")}
_IMAGE_TYPES: Final = {**_IMAGES, "image/jpg": "image/jpeg"}
_OTHER_TYPES: Final = ("application/pdf", "application/json")
_OTHER_FAMILIES: Final = ("text/", "audio/", "video/")
_BY_SUFFIX: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "xml": "text/xml",
    "json": "application/json",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
}
_DETAILS: Final = {"low": "LOW", "high": "HIGH", "original": "ULTRA_HIGH"}
_WANTED_IMAGE: Final = "Gemini takes PNG, JPEG, WebP, HEIC and HEIF images"
_WANTED_FILE: Final = "Gemini takes PDF, text, JSON, images, audio and video"
#: Google reads such a file as the gateway, which may be allowed more than the caller is.
_NOT_STORED: Final = "this backend reads no gs:// addresses and uploaded files for its clients (capability storedFiles)"
_UPLOADS: Final = "generativelanguage.googleapis.com"
_INLINE: Final = "send it inline, as base64 data"


class MediaWriter:
    """Writes for one destination; what of a node it leaves out is listed in ``losses``."""

    def __init__(self, destination: Destination, losses: list[Loss]) -> None:
        self._to = destination
        self._losses = losses

    def image(self, image: Image) -> Part:
        """A part with the image; raises ``Refusal`` for other formats and for what cannot be fetched."""
        if image.data is not None:
            kind = _IMAGE_TYPES.get((image.media_type or "").lower())
            if kind is None:
                raise Refusal(image.path, f"{_WANTED_IMAGE}; convert the image, or name its true media type")
            part: Part = {"inlineData": {"mimeType": kind, "data": image.data}}
        elif image.url is not None:
            part = self._remote(image.url, image.media_type, image.path)
            if not part["fileData"]["mimeType"].startswith("image/"):
                raise Refusal(image.path, _WANTED_IMAGE)
        else:
            raise Refusal(image.path, f"Gemini knows no files of other makers; {_INLINE}")
        level = _DETAILS.get(image.detail or "")
        if level is not None and self._to.capabilities.image_detail:
            part["mediaResolution"] = {"level": f"MEDIA_RESOLUTION_{level}"}
        elif image.detail not in {None, "auto"}:
            self._losses.append(Loss(image.path, "drop", "the model has no such image detail"))
        return part

    def audio(self, audio: Audio) -> Part:
        """A part with the sound."""
        return {"inlineData": {"mimeType": f"audio/{audio.format}", "data": audio.data}}

    def document(self, document: Document) -> list[Part]:
        """The parts of a document; its name and context are listed, as no part has a place for them."""
        for what, value in (("title", document.filename), ("context", document.context)):
            if value:
                self._losses.append(Loss(document.path, "drop", f"Gemini has no place for a document's {what}"))
        if document.citations:
            self._losses.append(Loss(document.path, "drop", "Gemini cites no documents"))
        if document.text is not None:
            return _texts(document.text)
        if document.blocks is not None:
            return [
                part
                for block in document.blocks
                for part in (_texts(block.text) if isinstance(block, Text) else [self.image(block)])
            ]
        if document.data is not None:
            kind = _readable(document.media_type) or _readable(_by_suffix(document.filename or ""))
            if kind is None:
                raise Refusal(document.path, f"{_WANTED_FILE}; name the file's true type")
            return [{"inlineData": {"mimeType": kind, "data": document.data}}]
        if document.url is not None:
            return [self._remote(document.url, document.media_type, document.path)]
        raise Refusal(document.path, f"Gemini knows no files of other makers; {_INLINE}")

    def search_result(self, result: SearchResult) -> list[Part]:
        """A search result as text, which cannot be cited."""
        self._losses.append(Loss(result.path, "approx", "Gemini has no search results; sent as text"))
        if result.citations:
            self._losses.append(Loss(result.path, "drop", "Gemini cites no search results"))
        words = "\n".join(block.text for block in result.blocks)
        return _texts(f"{result.title}\n{result.source}\n\n{words}")

    def _remote(self, url: str, media_type: str | None, path: str) -> Part:
        address = _split(url, path)
        if address.scheme == "gs":
            if not self._to.hosted:
                raise Refusal(path, f"only Vertex AI reads gs:// addresses; {_INLINE}")
        elif address.scheme not in {"http", "https"} or not self._to.fetches_urls:
            raise Refusal(path, f"Gemini does not fetch this address; {_INLINE}")
        if address.username is not None or address.password is not None:
            raise Refusal(path, f"the address holds a user name or a password; {_INLINE}")
        if not self._to.capabilities.stored_files and (address.scheme == "gs" or _is_upload(address)):
            raise Refusal(path, f"{_NOT_STORED}; {_INLINE}")
        kind = _readable(media_type) or _by_suffix(address.path)
        if kind is None:
            raise Refusal(
                path, f"Gemini wants to know the type of a remote file; end the address in .png, or {_INLINE}"
            )
        return {"fileData": {"mimeType": kind, "fileUri": url}}


def _texts(text: str) -> list[Part]:
    return [{"text": text}] if text.strip() else []


def _split(url: str, path: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise Refusal(path, "is no address that can be read") from error


def _is_upload(address: SplitResult) -> bool:
    """A file that was uploaded to the Gemini API under the gateway's key."""
    return (address.hostname or "").rstrip(".") == _UPLOADS


def _by_suffix(name: str) -> str | None:
    return _BY_SUFFIX.get(name.rsplit(".", 1)[-1].lower()) if "." in name else None


def _readable(media_type: str | None) -> str | None:
    kind = (media_type or "").lower()
    if kind in _OTHER_TYPES or kind.startswith(_OTHER_FAMILIES):
        return kind
    return _IMAGE_TYPES.get(kind)
