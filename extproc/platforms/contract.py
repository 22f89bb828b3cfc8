"""Where a dialect is hosted: which dialect it speaks and under which path it answers."""

from typing import Protocol


class Platform(Protocol):
    """One value of ``outputSchema.schema``."""

    #: The provider's name in metrics and logs (OpenTelemetry's ``gen_ai.provider.name`` values: ``openai``,
    #: ``aws.bedrock``).
    provider: str
    #: The package under ``extproc.dialects`` that reads and writes its bodies.
    dialect: str

    def path(self, operation: str, model: str, *, stream: bool, version: str | None) -> str | None:
        """The upstream path for an operation (``chat/completions``, ``embeddings``), None when it cannot serve it.

        ``version`` is ``outputSchema.version``. ``model`` is the upstream's name of the model; it is percent-encoded
        here where the path carries it. The result starts with ``/`` and has no query.
        """
