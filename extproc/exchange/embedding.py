"""Embeddings of a backend whose form for them is not the client's: one text or several in, one vector for each out."""

from msgspec import Struct

from extproc.conversation.embeddings import EmbeddingsRequest
from extproc.dialects.contract import ClientDialect, EmbeddingsClient, EmbeddingsDialect, Identity
from extproc.exchange.attempt import Answer, Handling, Outgoing
from extproc.exchange.failures import identified_by, told_failure
from extproc.exchange.messages import Headers
from extproc.exchange.targets import Target
from extproc.exchange.translation import PLAIN_JSON, headers_of
from extproc.exchange.wrapping import decoded


class Embedding(Struct):
    """An attempt; ``dialect`` is the client's, for errors, and ``headers`` are the client's."""

    dialect: ClientDialect
    client: EmbeddingsClient
    upstream: EmbeddingsDialect
    target: Target
    identity: Identity
    headers: Headers
    request_id: str = ""
    parsed: EmbeddingsRequest | None = None

    def request(self, body: bytes) -> Outgoing:
        """The texts in the upstream's form; raises ``ClientError``, and ``Refusal`` for more of them than it takes."""
        target = self.target
        self.parsed = parsed = self.client.read_request(body)
        sent = self.upstream.write_request(parsed, target.place.model)
        named = {**PLAIN_JSON, **dict(sent.headers)}
        dressed = target.platform.dress(sent.body, named, "embeddings", target.place)
        losses = (*sent.losses, *dressed.losses)
        return Outgoing(target.path, dressed.body, losses=losses, set_headers=headers_of(named, dressed))

    def response(self, status: int, headers: Headers, *, end: bool) -> Handling:
        """The whole answer, or the error in the client's dialect."""
        identified = identified_by(self.request_id, self.dialect.name, headers)
        failure = told_failure(self.dialect, self.target, status, headers, identified, end=end)
        return failure or Handling(identified, whole=lambda body: self._answered(body, headers))

    def _answered(self, body: bytes, headers: Headers) -> Answer:
        request = self.parsed
        if request is None:
            raise RuntimeError("a response before its request")
        plain = self.target.platform.undress(decoded(body, headers.get("content-encoding", "")), "embeddings")
        response = self.upstream.read_response(plain, headers, request)
        out = self.client.write_response(response, request, self.identity)
        return Answer(body=out, content_type="application/json", usage=response.usage, model=response.model)
