"""References to Secrets, the same in every part of the API."""

from typing import Annotated

from pydantic import Field, StrictStr

from controller.api.shape import DATA_KEY_PATTERN, LABEL_PATTERN, NAME_PATTERN, Part


class SecretRef(Part):
    """One key of a Secret."""

    name: Annotated[
        StrictStr, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="The Secret's name.")
    ]
    key: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=DATA_KEY_PATTERN,
            description="The key in the Secret's data; nothing: the usual one of this kind of credential.",
        ),
    ] = None
    namespace: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=LABEL_PATTERN,
            description="The Secret's namespace; nothing: the resource's own. Another needs a ReferenceGrant there.",
        ),
    ] = None


class WholeSecretRef(Part):
    """A Secret whose keys are known, or all of which count."""

    name: Annotated[
        StrictStr, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="The Secret's name.")
    ]
    namespace: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=LABEL_PATTERN,
            description="The Secret's namespace; nothing: the resource's own. Another needs a ReferenceGrant there.",
        ),
    ] = None
