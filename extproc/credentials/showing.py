"""What an upstream is shown of a credential: the headers that it becomes."""

import re
from collections.abc import Iterable
from typing import Final, assert_never

from msgspec import Struct

from extproc.config.auth import ApiKeyAuth, Auth, AwsAuth, AzureAuth, GcpAuth, NoAuth, PassthroughAuth
from extproc.credentials.held import AwsKeys, Held, Missing, Token
from extproc.credentials.sigv4 import Scope, Signable, maybe_region, sign

AUTHORIZATION: Final = "authorization"
#: What a header's value may hold (RFC 9110, 5.5), less tabs: whatever else is in a key, it never reaches a header.
_FIT: Final = re.compile(r"[ -~\xa0-\xff]+")
_UNFIT: Final = Missing("its credential is empty, or holds a character that no header can carry")
_OTHER_KIND: Final = Missing("its credential is of another kind than its settings ask for")
_NO_HOST: Final = Missing("the host to sign for is not known: set 'host' of the backend")
_NO_REGION: Final = Missing("the region to sign for is not known: set 'auth.aws.region', as the host names none")


class Shown(Struct, frozen=True, gc=False):
    """The headers that let a request in.

    ``secrets``: what an upstream might repeat and no log may hold; none where the credential is the client's.
    """

    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()

    @property
    def own(self) -> bool:
        """Whether it is the gateway's own that is shown, so that the client cannot be blamed for it."""
        return bool(self.secrets)

    def __repr__(self) -> str:
        return "Shown(...)"


NOTHING: Final = Shown()


class Sending(Struct, frozen=True, gc=False):
    """A request as it leaves, its credential aside. ``key_header``: the platform's, where it looks for a key.

    ``host`` is the upstream's, None where the configuration does not say. ``content_type`` None: there is none.
    ``now``: Unix seconds.
    """

    method: str
    target: str
    host: str | None
    content_type: str | None
    body: bytes
    key_header: str
    now: float


def show(held: Held, auth: Auth, sending: Sending) -> Shown | Missing:
    """The headers for ``held``, which was looked up for ``auth``; Missing where none can be shown, and why.

    Everything that a credential of the gateway's own does to a request is in here, so that a backend whose credential
    Envoy adds itself (``credential_injector``, ``aws_request_signing``) needs only one more answer: nothing.
    """
    kind = auth.kind
    if kind is None or isinstance(kind, NoAuth):
        return NOTHING
    if isinstance(held, Missing):
        return held
    if isinstance(held, Token):
        return _told(held, kind, sending)
    if isinstance(kind, AwsAuth) and kind.source != "bedrockAPIKey":
        return _signed(held, kind, sending)
    return _OTHER_KIND


def _told(
    held: Token, kind: ApiKeyAuth | AwsAuth | GcpAuth | AzureAuth | PassthroughAuth, to: Sending
) -> Shown | Missing:
    match kind:
        case ApiKeyAuth():
            return key_in(kind.header or to.key_header, held.value, kind.prefix)
        case PassthroughAuth():
            return key_in(to.key_header, held.value)
        case AwsAuth() if kind.source != "bedrockAPIKey":
            return _OTHER_KIND
        case AwsAuth() | GcpAuth() | AzureAuth():
            return key_in(AUTHORIZATION, held.value)
    assert_never(kind)


def key_in(header: str, key: str, prefix: str | None = None) -> Shown | Missing:
    """A key in one header. ``prefix`` None: ``Bearer `` in ``authorization``, and nothing elsewhere."""
    if prefix is None:
        prefix = "Bearer " if header == AUTHORIZATION else ""
    value = f"{prefix}{key}"
    return Shown(((header, value),), (key,)) if key and _fit(value) else _UNFIT


def _signed(held: AwsKeys, auth: AwsAuth, sending: Sending) -> Shown | Missing:
    session = held.session_token
    if not _fit(held.access_key_id) or not (session is None or _fit(session)):
        return _UNFIT
    if sending.host is None or not _fit(sending.host):
        return _NO_HOST
    region = auth.region or maybe_region(sending.host)
    if region is None:
        return _NO_REGION
    covered = {"host": sending.host}
    if sending.content_type is not None:
        covered["content-type"] = sending.content_type
    request = Signable(sending.method, sending.target, covered, sending.body)
    headers = sign(request, held, Scope(region, auth.service), sending.now)
    signature = headers[-1][1].rpartition("=")[2]
    return Shown(headers, (held.secret_access_key, signature, session or ""))


def _fit(value: str) -> bool:
    return _FIT.fullmatch(value) is not None


def without(secrets: Iterable[str], text: str) -> str:
    """``text`` with no secret in it, were it that an upstream repeats what it was shown."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
