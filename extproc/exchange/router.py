"""The router role: from a request's body to a backend and the message that goes there."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from extproc.conversation.errors import ClientError, Kind
from extproc.conversation.provenance import origin_of
from extproc.credentials.showing import Shown
from extproc.dialects.contract import ClientDialect, Identity, Peek
from extproc.exchange import replies
from extproc.exchange.attempt import MAX_DECODED_BYTES, Attempt, Outgoing, media_type
from extproc.exchange.callers import Entry, Visitor, left_for_upstream
from extproc.exchange.credential import credential_for, unusable
from extproc.exchange.edges import Edges
from extproc.exchange.embedding import Embedding
from extproc.exchange.endpoints import Endpoint
from extproc.exchange.forwarding import withheld
from extproc.exchange.gateway import Gateway
from extproc.exchange.header_names import is_for_keys
from extproc.exchange.messages import Headers, Proceed
from extproc.exchange.passthrough import Passthrough
from extproc.exchange.query import with_query
from extproc.exchange.record import Record
from extproc.exchange.targets import Target
from extproc.exchange.translation import Counting, Translation
from extproc.registry import embeddings_client, embeddings_dialect, upstream_dialect
from extproc.routing.index import Choice, Route
from extproc.wire import multipart
from extproc.wire.encoding import decode_all
from extproc.wire.errors import TooLargeError, UnsupportedEncodingError, WireError

#: The longest name that any known vendor takes (Bedrock's model ARNs); names also go into logs and metadata.
MAX_MODEL_CHARS = 2048
#: How many dropped fields a record names; a client can invent as many as it likes.
MAX_DROPPED = 32


class Intake(Struct, frozen=True):
    """A request as it came in; ``record`` is filled on the way."""

    gateway: Gateway
    client: ClientDialect
    endpoint: Endpoint
    headers: Headers
    body: bytes
    record: Record
    tokens: Mapping[str, Mapping[str, str]]


class Routed(Struct, frozen=True):
    """The attempt that was made, at which backend and with whose credential, and what Envoy is told."""

    attempt: Attempt
    choice: Choice
    target: Target
    shown: Shown
    action: Proceed


def route(intake: Intake, edges: Edges) -> Routed:
    """Pick the backend and write the request for it.

    Raises ``ClientError`` (also 503 when the rule can serve nobody).
    """
    record = intake.record
    body = _plain(intake)
    peek = _peek(intake, body)
    if len(peek.model) > MAX_MODEL_CHARS:
        raise ClientError(f"model: longer than {MAX_MODEL_CHARS} characters", param="model")
    record.model, record.stream = peek.model, peek.stream
    rule = _rule(intake, peek.model)
    entry = _entry(intake, rule, edges)
    choice = _backend(intake, rule, body, edges.draw)
    model = choice.model_name_override or peek.model
    record.route, record.backend, record.upstream_model = rule.source, choice.name, model
    if choice.refusal is not None:
        raise unusable(choice, choice.refusal, "no_backend")
    target = _target(intake, choice, peek)
    attempt = _attempt(intake, choice, target, peek, edges)
    outgoing = attempt.request(body)
    if outgoing.losses:
        record.dropped = tuple(replies.safe_path(loss.path) for loss in outgoing.losses[:MAX_DROPPED])
        record.dropped_more = max(0, len(outgoing.losses) - MAX_DROPPED)
    sent = intake.body if outgoing.body is None else outgoing.body
    keys = intake.headers if entry is None else left_for_upstream(intake.headers, entry, choice.auth)
    shown = credential_for(keys, choice, target, outgoing, sent, edges)
    return Routed(attempt, choice, target, shown, _proceed(intake, rule, choice, target, outgoing, shown))


def _plain(intake: Intake) -> bytes:
    encoding = intake.headers.get("content-encoding")
    if not encoding:
        return intake.body
    try:
        return decode_all(intake.body, encoding, MAX_DECODED_BYTES)
    except UnsupportedEncodingError as error:
        raise ClientError(f"content-encoding: {error}", status=415) from error
    except TooLargeError as error:
        raise ClientError(f"the decoded body is too large: {error}", status=413, kind=Kind.TOO_LARGE) from error
    except WireError as error:
        raise ClientError(f"the body is not valid {encoding[:40]}: {error}") from error


def _peek(intake: Intake, body: bytes) -> Peek:
    if media_type(intake.headers) != "multipart/form-data":
        return intake.client.peek(body)
    if not intake.endpoint.multipart:
        raise ClientError("content-type: this endpoint takes application/json, not a form", status=415)
    try:
        field = multipart.read_field(body, intake.headers.get("content-type", ""), "model")
    except WireError as error:
        raise ClientError(f"the form cannot be read: {error}") from error
    if field is None or not field.value:
        raise ClientError("you must provide a model: add a form field 'model'", param="model")
    return Peek(field.value)


def _rule(intake: Intake, model: str) -> Route:
    host = intake.headers.get(":authority", "")
    rule = intake.gateway.index.match(host, intake.headers, model, client=intake.endpoint.client)
    if rule is None:
        error = replies.no_such_model(model)
        raise ClientError(error.message, param="model", code=error.code, status=404, kind=Kind.MODEL_NOT_FOUND)
    return rule


def _entry(intake: Intake, rule: Route, edges: Edges) -> Entry | None:
    """As whom the client was let in; None where nobody asks."""
    if rule.client_auth is None:
        return None
    intake.record.route = rule.source
    entry = Visitor(intake.headers, intake.tokens, edges.callers).enter(rule.client_auth, rule.source)
    intake.record.caller = entry.caller
    return entry


def _backend(intake: Intake, rule: Route, body: bytes, draw: Callable[[], float]) -> Choice:
    if rule.refusal:
        reason = rule.refusal
    elif (choice := _chosen(intake, rule, body, draw)) is not None:
        return choice
    else:
        reason = "it has no backend with a weight above 0"
    raise ClientError(
        f"rule {rule.source} cannot serve this request: {reason}", status=503, kind=Kind.OVERLOADED, code="no_backend"
    )


def _chosen(intake: Intake, rule: Route, body: bytes, draw: Callable[[], float]) -> Choice | None:
    if len(rule.backends) <= 1:
        return rule.choose(0.0)
    if rule.sticky and intake.endpoint.translated and (key := intake.client.sticky_key(body)):
        return rule.choose_for(key)
    return rule.choose(draw())


def _target(intake: Intake, choice: Choice, peek: Peek) -> Target:
    endpoint = intake.endpoint
    model = choice.model_name_override or peek.model
    target = intake.gateway.targets.maybe_target(
        choice, intake.client.name, endpoint.operation, model, stream=peek.stream
    )
    if target is None or not (target.same_dialect or endpoint.translated):
        raise _unserved(choice, endpoint)
    intake.record.provider = target.platform.provider
    return target


def _attempt(intake: Intake, choice: Choice, target: Target, peek: Peek, edges: Edges) -> Attempt:
    endpoint, client = intake.endpoint, intake.client
    own_id = intake.record.request_id
    if target.same_dialect:
        path = with_query(target, intake.headers.get(":path", ""))
        return Passthrough(
            client, endpoint, target, path, choice.model_name_override, peek.stream, intake.headers, own_id
        )
    if endpoint.operation == "embeddings":
        return _embedding(intake, choice, target, Identity(edges.new_id(), peek.model, int(edges.wall())))
    upstream = upstream_dialect(target.platform.dialect)
    destination = intake.gateway.targets.destination(choice, target)
    origin = origin_of(destination.capabilities, target.place.model)
    identity = Identity(edges.new_id(), peek.model, int(edges.wall()), origin)
    kind = Counting if endpoint.operation == "count_tokens" else Translation
    return kind(client, upstream, target, destination, identity, intake.headers, own_id)


def _embedding(intake: Intake, choice: Choice, target: Target, identity: Identity) -> Embedding:
    name = target.platform.embeddings_dialect(target.place.model)
    if name is None:
        raise _unserved(choice, intake.endpoint)
    return Embedding(
        intake.client,
        embeddings_client(intake.client.name),
        embeddings_dialect(name),
        target,
        identity,
        intake.headers,
        intake.record.request_id,
    )


def _unserved(choice: Choice, endpoint: Endpoint) -> ClientError:
    if endpoint.operation == "count_tokens":
        remedy = "this API has no way to count tokens without answering"
    else:
        remedy = f"use a model of a backend that does; {endpoint.client} backends speak this API themselves"
    return ClientError(
        f"backend {choice.name!r} ({choice.schema}) cannot serve /v1/{endpoint.below}; {remedy}",
        param="model",
        code="unsupported_operation",
    )


def _proceed(intake: Intake, rule: Route, choice: Choice, target: Target, outgoing: Outgoing, shown: Shown) -> Proceed:
    headers, gateway = intake.headers, intake.gateway
    wanted = [(gateway.config.backend_routing_header_key, choice.route_key), *outgoing.set_headers]
    if outgoing.path != headers.get(":path"):
        wanted.append((":path", outgoing.path))
    removed = headers.keys() & gateway.withheld_headers
    removed.update(withheld(headers, target))
    if rule.key_headers:
        removed.update(name for name in rule.key_headers if name in headers and is_for_keys(name))
    if outgoing.remove_headers:
        removed.update(name for name in outgoing.remove_headers if name in headers)
    if outgoing.body is not None:
        wanted.append(("content-length", str(len(outgoing.body))))
        if "content-encoding" in headers:
            removed.add("content-encoding")
    # Before all else, so that whatever a key's header is called, what the gateway says stands.
    changed = [pair for pair in (*shown.headers, *wanted) if pair is wanted[0] or headers.get(pair[0]) != pair[1]]
    if removed:
        removed.difference_update(name for name, _ in (*wanted, *shown.headers))
    record = intake.record
    return Proceed(
        tuple(changed),
        tuple(sorted(removed)) if removed else (),
        outgoing.body,
        clear_route_cache=True,
        metadata={
            "model": record.model,
            "backend": record.backend,
            "route": record.route,
            "client_dialect": record.client_dialect,
            **({"caller": record.caller} if record.caller else {}),
        },
        secret=bool(shown.headers),
    )
