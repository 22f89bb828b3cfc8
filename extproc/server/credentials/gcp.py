"""Access tokens of Google Cloud through google-auth, over our own transport. Imported only where a backend needs it."""

import os
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final
from urllib.parse import quote

import google.auth
from google.auth import identity_pool
from google.auth.exceptions import GoogleAuthError, TransportError
from google.oauth2 import service_account

from extproc.server.credentials import oauth
from extproc.server.credentials.contents import MalformedError, is_safe_endpoint, read_token
from extproc.server.credentials.identity import own_token
from extproc.server.credentials.outbound import LIMIT_S, UNREACHABLE, UNUSABLE, Answer, ask
from extproc.server.credentials.provider import Fetched, FetchError

IDENTITY_VARIABLE: Final = "LLMROUTE_GCP_TOKEN_FILE"
KEY_VARIABLE: Final = "LLMROUTE_GCP_TOKEN_URL"
STS_VARIABLE: Final = "LLMROUTE_GCP_STS_URL"
IAM_VARIABLE: Final = "LLMROUTE_GCP_IAM_URL"
_IDENTITY_FILE: Final = "/var/run/secrets/llmroute/gcp/token"
_OAUTH: Final = "https://oauth2.googleapis.com/token"
_STS: Final = "https://sts.googleapis.com/v1/token"
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_IAM: Final = "https://iamcredentials.googleapis.com"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


class ServiceAccount:
    """A service account's key. Raises ``MalformedError`` for a private key that is none.

    Of the file only the key and whose it is are used. Where requests go is for this processor's environment to say.
    """

    def __init__(self, key: Mapping[str, Any]) -> None:
        own = {name: key[name] for name in ("client_email", "private_key", "private_key_id") if name in key}
        own["token_uri"] = _endpoint(KEY_VARIABLE, _OAUTH)
        try:
            self._credentials: Any = service_account.Credentials.from_service_account_info(own, scopes=_SCOPES)
        except (GoogleAuthError, ValueError, TypeError):
            raise MalformedError('"private_key" is no key') from None

    def fetch(self) -> Fetched:
        """A fresh token."""
        return _refreshed(self._credentials, _Transport())


class WorkloadIdentity:
    """This processor's own token, exchanged for ``audience``; then for ``account``'s, where one is impersonated."""

    def __init__(self, audience: str, account: str | None) -> None:
        self._audience = audience
        self._account = account

    def fetch(self) -> Fetched:
        """A fresh token."""
        impersonation = None
        if self._account is not None:
            path = f"/v1/projects/-/serviceAccounts/{quote(self._account, safe='@')}:generateAccessToken"
            impersonation = _endpoint(IAM_VARIABLE, _IAM).rstrip("/") + path
        credentials = identity_pool.Credentials(
            audience=self._audience,
            subject_token_type=_JWT,
            token_url=_endpoint(STS_VARIABLE, _STS),
            subject_token_supplier=_OwnToken(),
            service_account_impersonation_url=impersonation,
            scopes=_SCOPES,
        )
        return _refreshed(credentials, _Transport())


class Default:
    """Application Default Credentials: a file that the environment names, or the metadata server."""

    def fetch(self) -> Fetched:
        """A fresh token."""
        transport = _Transport()
        try:
            credentials, _ = google.auth.default(scopes=_SCOPES, request=transport)
        except GoogleAuthError as error:
            raise FetchError("the gateway has no credential of Google Cloud", type(error).__name__) from None
        return _refreshed(credentials, transport)


class _OwnToken(identity_pool.SubjectTokenSupplier):
    def get_subject_token(self, *_: object) -> str:
        return own_token(IDENTITY_VARIABLE, _IDENTITY_FILE)


class _Transport(google.auth.transport.Request):
    """google-auth's way out. It remembers the last refusal, whose words its exceptions mix with the server's."""

    def __init__(self) -> None:
        self.refusal: FetchError | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> "_Response":
        try:
            data = body.encode() if isinstance(body, str) else body
            answer = ask(url, method, data, headers, min(timeout or LIMIT_S, LIMIT_S))
        except FetchError as error:
            self.refusal = error
            raise TransportError(str(error)) from None
        if answer.status >= 400:
            self.refusal = oauth.refusal(answer)
        if answer.status >= 500 or answer.status == 429:
            # google-auth would try again by itself, with a patience of its own.
            raise TransportError(str(self.refusal))
        return _Response(answer)


class _Response(google.auth.transport.Response):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def data(self) -> bytes:
        return self._answer.body


def _refreshed(credentials: Any, transport: _Transport) -> Fetched:
    began = time.monotonic()
    try:
        credentials.refresh(transport)
        token = read_token(credentials.token.encode())
        # google-auth counts a life from the answer on; its end is naive, in UTC.
        ends = credentials.expiry.replace(tzinfo=UTC).timestamp() - (time.monotonic() - began)
        return Fetched(token, ends)
    except GoogleAuthError as error:
        raise transport.refusal or FetchError(UNREACHABLE, type(error).__name__) from None
    except (MalformedError, ValueError, AttributeError, TypeError) as error:
        raise FetchError(UNUSABLE, type(error).__name__) from None


def _endpoint(variable: str, default: str) -> str:
    url = os.environ.get(variable) or default
    if not is_safe_endpoint(url):
        raise FetchError("its token endpoint is not set up well", f"{variable} is no https address")
    return url
