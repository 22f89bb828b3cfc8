"""Access tokens of Microsoft Entra ID: the client credentials grant, with a secret or with a federated token.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (read 2026-11). Two forms of one
POST: why no library is used for it is in docs/decisions/0011-tokens-of-three-clouds.md.
"""

import os
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from extproc.server.credentials import oauth
from extproc.server.credentials.contents import is_safe_endpoint
from extproc.server.credentials.identity import own_token
from extproc.server.credentials.outbound import ask
from extproc.server.credentials.provider import Fetched, FetchError

#: The same names as in Azure's SDKs and its workload identity webhook.
AUTHORITY_VARIABLE: Final = "AZURE_AUTHORITY_HOST"
IDENTITY_VARIABLE: Final = "AZURE_FEDERATED_TOKEN_FILE"
_AUTHORITY: Final = "https://login.microsoftonline.com"
#: By the end of the authority's host: each sovereign cloud has services and authorities of its own.
#: https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure and
#: https://learn.microsoft.com/azure/china/resources-developer-guide (read 2026-11)
_SCOPES: Final = {
    "us": "https://cognitiveservices.azure.us/.default",
    "cn": "https://cognitiveservices.azure.cn/.default",
}
_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientSecret:
    """An application that proves itself by ``secret``."""

    def __init__(self, secret: str, tenant_id: str, client_id: str) -> None:
        self._secret = secret
        self._tenant_id = tenant_id
        self._client_id = client_id

    def fetch(self) -> Fetched:
        """A fresh token."""
        return _fetch(self._tenant_id, self._client_id, {"client_secret": self._secret})


class FederatedToken:
    """An application that trusts whoever issued this processor's own token, a Kubernetes cluster as a rule."""

    def __init__(self, tenant_id: str, client_id: str) -> None:
        self._tenant_id = tenant_id
        self._client_id = client_id

    def fetch(self) -> Fetched:
        """A fresh token. The processor's own is read each time, as it is rotated, too."""
        proof = {"client_assertion_type": _ASSERTION, "client_assertion": own_token(IDENTITY_VARIABLE)}
        return _fetch(self._tenant_id, self._client_id, proof)


def _fetch(tenant_id: str, client_id: str, proof: Mapping[str, str]) -> Fetched:
    authority = (os.environ.get(AUTHORITY_VARIABLE) or _AUTHORITY).rstrip("/")
    if not is_safe_endpoint(authority):
        raise FetchError("its token endpoint is not set up well", f"{AUTHORITY_VARIABLE} is no https address")
    scope = _SCOPES.get((urlsplit(authority).hostname or "").rpartition(".")[2], _SCOPE)
    form = {"client_id": client_id, "scope": scope, "grant_type": "client_credentials", **proof}
    asked = time.time()
    answer = ask(
        f"{authority}/{quote(tenant_id, safe='')}/oauth2/v2.0/token",
        "POST",
        urlencode(form).encode(),
        {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
    )
    return oauth.fetched(answer, asked)
