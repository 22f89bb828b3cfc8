"""What the operator writes into ``.status``. These models only describe it; ``controller.translate`` makes it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr

from controller.api.shape import Part

Conditions = Annotated[
    tuple["Condition", ...],
    Field(
        max_length=8,
        description="What is true of the object now: Accepted, ResolvedRefs, Programmed, Serving, and Warnings if any.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class Condition(Part):
    """One aspect of the object's state."""

    type: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=316,
            pattern=r"^[A-Za-z]([A-Za-z0-9]*[A-Za-z0-9])?$",
            description="Which aspect.",
        ),
    ]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="Whether it holds.")]
    observed_generation: Annotated[
        StrictInt | None, Field(ge=0, description="The metadata.generation of the object that this speaks of.")
    ] = None
    last_transition_time: Annotated[datetime, Field(description="When status last changed.")]
    reason: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            description="Why, in one word of a closed list; see docs/status.md.",
        ),
    ]
    message: Annotated[StrictStr, Field(max_length=32768, description="Why, for people, with the field's name.")]


class RouteStatus(Part):
    """What the operator knows of a route."""

    conditions: Conditions = ()
    backends: Annotated[
        StrictStr | None, Field(max_length=64, description="How many of the backends it names can be used, as 2/3.")
    ] = None
    models: Annotated[
        StrictStr | None, Field(max_length=1024, description="The models it serves by name; * where it serves any.")
    ] = None


class BackendStatus(Part):
    """What the operator knows of a backend."""

    conditions: Conditions = ()
    target: Annotated[StrictStr | None, Field(max_length=512, description="Where its requests go, as host:port.")] = (
        None
    )
