"""Images and audio; and the refusal of what is not here to be sent."""

from typing import Any

from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Audio, Image

_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_FORMAT_BY_SUFFIX = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp"}
_AUDIO_FORMATS = frozenset({"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "m4a", "pcm", "webm"})
_WANTED = "Bedrock takes PNG, JPEG, GIF and WebP images"
#: The service reads such a file as the gateway, which may be allowed more than the caller is.
NOT_STORED = "this backend reads no s3:// locations for its clients (capability storedFiles)"
_INLINE = "send a data URI (data:image/png;base64,...)"


def write_image(image: Image, losses: list[Loss], *, stored_files: bool) -> dict[str, Any]:
    """An ``ImageBlock``; raises ``Refusal`` for remote images, stored files and other formats.

    ``stored_files``: images in S3 may be named.
    """
    if image.detail not in {None, "auto"}:
        losses.append(Loss(image.path, "drop", "Bedrock has no image detail level"))
    if image.data is not None:
        kind = _FORMATS.get((image.media_type or "").lower())
        if kind is None:
            raise Refusal(image.path, f"{_WANTED}; convert the image, or name its true media type")
        return {"image": {"format": kind, "source": {"bytes": image.data}}}
    if image.url is not None and image.url.startswith("s3://"):
        if not stored_files:
            raise Refusal(image.path, f"{NOT_STORED}; {_INLINE}")
        return {"image": {"format": _stored_format(image), "source": {"s3Location": {"uri": image.url}}}}
    if image.url is not None:
        raise Refusal(image.path, f"Bedrock fetches no remote images; {_INLINE}")
    raise Refusal(image.path, f"Bedrock knows no stored files; {_INLINE}")


def _stored_format(image: Image) -> str:
    suffix = (image.url or "").rsplit(".", 1)[-1].lower()
    if suffix not in _FORMAT_BY_SUFFIX:
        raise Refusal(image.path, f"{_WANTED}; end the s3:// location in .png, .jpg, .gif or .webp to say which it is")
    return _FORMAT_BY_SUFFIX[suffix]


def write_audio(audio: Audio) -> dict[str, Any]:
    """An ``AudioBlock``; which models listen is theirs to say. Raises ``Refusal`` for other formats."""
    if audio.format not in _AUDIO_FORMATS:
        raise Refusal(audio.path, "Bedrock takes no audio of this format; send WAV or MP3")
    return {"audio": {"format": audio.format, "source": {"bytes": audio.data}}}
