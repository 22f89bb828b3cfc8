"""Content parts and cache marks: the leaves of messages.

Facts: openai-python 3.54 ``types/chat/chat_completion_content_part_*``, read 2026-11-22. ``cache_control`` is the
common extension of gateways and compatible vendors, in Anthropic's shape (``{"type": "ephemeral", "ttl"?}``).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from extproc.conversation.errors import ClientError
from extproc.conversation.request import Audio, Cache, Document, Extra, Image, Text
from extproc.dialects.openai.fields import Members, missing, unknown_word, wrong_type, wrong_value

Part = Text | Image | Audio | Document
PartReader = Callable[[Members, list[Extra]], Part]

MAX_PARTS: Final = 2_000
"""Of one message. A guess: vendors take some hundred images or documents in a request."""

_CACHE_MEMBERS: Final = frozenset({"cache_control", "prompt_cache_breakpoint"})
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*")
_REMOTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
#: The longest ``data:...;base64`` head that is looked at; a guess, twice the longest media type.
_MAX_URI_HEAD: Final = 512

_DETAILS: Final = {word: word for word in ("auto", "low", "high", "original")}
_AUDIO_FORMATS: Final = {word: word for word in ("wav", "mp3")}


def read_cache(members: Members) -> Cache | None:
    """The cache mark of a node: ``cache_control``, else ``prompt_cache_breakpoint``."""
    if members.values.keys().isdisjoint(_CACHE_MEMBERS):
        return None
    control = members.maybe_object("cache_control")
    if control is not None:
        control.word("type", {"ephemeral": "ephemeral"})
        return Cache(control.maybe_text("ttl"))
    mark = members.maybe_object("prompt_cache_breakpoint")
    if mark is None:
        return None
    mark.word("mode", {"explicit": "explicit"})
    return Cache(mark.maybe_text("ttl"))


def read_content(content: Any, path: str, readers: Mapping[str, PartReader], extras: list[Extra]) -> tuple[Part, ...]:
    """A message's ``content``: a string is one text, an array is read part by part.

    Raises:
        ClientError: it is neither, has too many parts, or a part is none of those that ``readers`` names.
    """
    if isinstance(content, str):
        return (Text(content, path),)
    if not isinstance(content, list):
        raise wrong_type(path, "a string or an array of content parts", content)
    if len(content) > MAX_PARTS:
        raise wrong_value(path, f"holds {len(content)} content parts; at most {MAX_PARTS} are translated")
    return tuple(_read_part(Members(part, f"{path}[{i}]"), readers, extras) for i, part in enumerate(content))


def _read_part(part: Members, readers: Mapping[str, PartReader], extras: list[Extra]) -> Part:
    part_type = part.values.get("type")
    reader = readers.get(part_type) if isinstance(part_type, str) else None
    if reader is not None:
        return reader(part, extras)
    path = part.at("type")
    if part_type is None:
        raise missing(path, f"one of {', '.join(sorted(readers))}")
    if not isinstance(part_type, str):
        raise wrong_type(path, "a string", part_type)
    raise unknown_word(path, part_type, readers.keys())


def read_base64(data: str, path: str) -> str:
    """``data`` itself, checked: the standard alphabet with its padding, nothing else, not empty."""
    if not data:
        raise wrong_value(path, "the base64 data is empty")
    match = _BASE64.match(data)
    end = match.end() if match else 0
    if data[end:] not in ("", "=", "=="):
        raise wrong_value(path, f"the data is not base64: a character outside A-Z a-z 0-9 + / at offset {end}")
    if len(data) % 4:
        raise wrong_value(path, "the base64 data is cut or not padded: its length must be a multiple of 4")
    return data


def read_data_uri(uri: str, path: str) -> tuple[str, str]:
    """Media type (lower case, without parameters) and base64 data of ``data:<type>/<subtype>[;...];base64,<data>``."""
    comma = max(uri.find(",", 0, _MAX_URI_HEAD), 0)
    scheme, *parameters = uri[:comma].lower().split(";")
    media_type = scheme.removeprefix("data:")
    if not _is_data_uri(uri) or parameters[-1:] != ["base64"] or not _MEDIA_TYPE.fullmatch(media_type):
        raise wrong_value(path, "not a data URI of the form data:<type>/<subtype>;base64,<data>")
    return media_type, read_base64(uri[comma + 1 :], path)


def _is_data_uri(uri: str) -> bool:
    return uri[:5].lower() == "data:"


def _read_text(part: Members, extras: list[Extra]) -> Text:
    extras.extend(part.unknown(_TEXT_MEMBERS))
    return Text(part.text("text"), part.path, cache=read_cache(part))


def _read_refusal(part: Members, extras: list[Extra]) -> Text:
    extras.extend(part.unknown(_REFUSAL_MEMBERS))
    return Text(part.text("refusal"), part.path, kind="refusal", cache=read_cache(part))


def _read_image(part: Members, extras: list[Extra]) -> Image:
    extras.extend(part.unknown(_IMAGE_MEMBERS))
    source = part.object("image_url")
    extras.extend(source.unknown(_IMAGE_URL_MEMBERS))
    url, path = source.name("url"), source.at("url")
    detail, cache = source.maybe_word("detail", _DETAILS), read_cache(part)
    if _is_data_uri(url):
        media_type, data = read_data_uri(url, path)
        if not media_type.startswith("image/"):
            raise wrong_value(path, "the media type of the data URI is not an image type; expected data:image/...")
        return Image(part.path, media_type=media_type, data=data, detail=detail, cache=cache)
    if not _REMOTE.fullmatch(url):
        raise wrong_value(path, "neither an URL with a scheme nor a data URI (data:image/png;base64,...)")
    return Image(part.path, url=url, detail=detail, cache=cache)


def _read_audio(part: Members, extras: list[Extra]) -> Audio:
    extras.extend(part.unknown(_AUDIO_MEMBERS))
    source = part.object("input_audio")
    extras.extend(source.unknown(_INPUT_AUDIO_MEMBERS))
    data = read_base64(source.text("data"), source.at("data"))
    return Audio(part.path, source.word("format", _AUDIO_FORMATS), data)


def _read_file(part: Members, extras: list[Extra]) -> Document:
    extras.extend(part.unknown(_FILE_MEMBERS))
    source = part.object("file")
    extras.extend(source.unknown(_FILE_SOURCE_MEMBERS))
    uri, file_id = source.maybe_text("file_data"), source.maybe_text("file_id")
    filename, cache = source.maybe_text("filename"), read_cache(part)
    if (uri is None) == (file_id is None):
        raise _one_source(source)
    if uri is None:
        return Document(part.path, file_id=source.name("file_id"), filename=filename, cache=cache)
    media_type, data = read_data_uri(uri, source.at("file_data"))
    return Document(part.path, media_type=media_type, data=data, filename=filename, cache=cache)


def _one_source(source: Members) -> ClientError:
    return wrong_value(source.path, "exactly one of file_data and file_id is required")


_TEXT_MEMBERS: Final = frozenset({"type", "text"}) | _CACHE_MEMBERS
_REFUSAL_MEMBERS: Final = frozenset({"type", "refusal"}) | _CACHE_MEMBERS
_IMAGE_MEMBERS: Final = frozenset({"type", "image_url"}) | _CACHE_MEMBERS
_IMAGE_URL_MEMBERS: Final = frozenset({"url", "detail"})
#: The neutral audio holds no cache mark: one there is listed as left out.
_AUDIO_MEMBERS: Final = frozenset({"type", "input_audio"})
_INPUT_AUDIO_MEMBERS: Final = frozenset({"data", "format"})
_FILE_MEMBERS: Final = frozenset({"type", "file"}) | _CACHE_MEMBERS
_FILE_SOURCE_MEMBERS: Final = frozenset({"file_data", "file_id", "filename"})

#: What may stand in the content of system, developer and tool messages.
TEXT_PARTS: Final[Mapping[str, PartReader]] = {"text": _read_text}
#: ... of assistant messages.
ASSISTANT_PARTS: Final[Mapping[str, PartReader]] = {"text": _read_text, "refusal": _read_refusal}
#: ... of user messages.
USER_PARTS: Final[Mapping[str, PartReader]] = {
    "text": _read_text,
    "image_url": _read_image,
    "input_audio": _read_audio,
    "file": _read_file,
}
