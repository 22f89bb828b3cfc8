"""The one name of a model on the Gemini API, which stands in paths and bodies alike and must be the same in both."""

from typing import Final

_TUNED: Final = "tunedModels/"
_MODELS: Final = "models/"
#: What other gateways put before the maker's own id.
_MAKER: Final = "google/"


def resource_name(model: str) -> str:
    """``models/{id}`` or ``tunedModels/{id}`` for what a client or an operator calls the model."""
    if model.startswith(_TUNED):
        return model
    return _MODELS + model.removeprefix(_MODELS).removeprefix(_MAKER)
