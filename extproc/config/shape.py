"""What all parts of the file's shape share: the base model, the patterns and their plain words."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr
from pydantic.alias_generators import to_camel

from extproc.config.errors import Finding, MisfitError, nearest, quoted
from extproc.config.names import VERSION_CLIMBS

HEADER_NAME_PATTERN = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$"
NAME_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
HOSTNAME_PATTERN = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
PATH_VERSION_PATTERN = r"^[A-Za-z0-9._~/-]*$"
PATH_PREFIX_PATTERN = r"^(/[A-Za-z0-9._~-]+)*$"
FINGERPRINT_PATTERN = r"^[A-Za-z0-9._-]+$"
FILE_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
REGION_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
GCP_PROJECT_PATTERN = r"^[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$"
GCP_LOCATION_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

#: What each pattern of this schema asks for, as the end of "... is not".
PATTERN_MEANINGS = {
    HEADER_NAME_PATTERN: "a header name: letters, digits and !#$%&'*+-.^_`|~",
    NAME_PATTERN: "a name that fits into a header: visible ASCII, no space at either end",
    HOSTNAME_PATTERN: "a host name: lower-case letters, digits, hyphens, dots, *. in front for any one label, no port",
    PATH_VERSION_PATTERN: "a path segment: letters, digits and ._~/-",
    PATH_PREFIX_PATTERN: "a path: empty, or segments of letters, digits and ._~- with / before each, none at the end",
    FINGERPRINT_PATTERN: "a digest: letters, digits and ._-",
    FILE_PATTERN: "a file's name: letters, digits and ._- with no dot in front",
    REGION_PATTERN: "a region or service of AWS: lower-case letters, digits and hyphens, such as us-east-1",
    GCP_PROJECT_PATTERN: "a project of Google Cloud: its id or number, in lower case",
    GCP_LOCATION_PATTERN: "a location of Google Cloud: lower-case letters, digits and hyphens, as europe-west4, global",
}


class Shape(BaseModel):
    """The base of all parts: frozen, camelCase, no unknown fields, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


def one_of(known: dict[str, str]) -> AfterValidator:
    """A check that a value is one of ``known``, whose refusal lists them and guesses what was meant."""

    def check(value: str) -> str:
        if value not in known:
            *most, last = known
            listed = f"{', '.join(most)} or {last}" if most else last
            reason = f"must be {listed}, not {quoted(value)}"
            raise MisfitError(Finding("", reason, nearest(value, known)))
        return value

    return AfterValidator(check)


def descending(version: str) -> str:
    """A version that stands in a path and does not climb out of it. Raises ``MisfitError``."""
    if not {".", ".."}.isdisjoint(version.split("/")):
        raise MisfitError(Finding("", VERSION_CLIMBS))
    return version


HeaderName = Annotated[
    StrictStr, Field(min_length=1, max_length=256, pattern=HEADER_NAME_PATTERN), AfterValidator(str.lower)
]
Hostname = Annotated[StrictStr, Field(min_length=1, max_length=253, pattern=HOSTNAME_PATTERN)]
Name = Annotated[StrictStr, Field(min_length=1, max_length=512, pattern=NAME_PATTERN)]
