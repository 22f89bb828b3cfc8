"""Keys of AWS through botocore, whose import takes 0.3 s of CPU and 35 MB: only where a backend needs it, in a thread.

Each fetch resolves anew, in a session of its own (6 ms): whatever changed in the environment's files counts.
"""

import os
from typing import Any, Final, NoReturn

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from extproc.credentials.held import AwsKeys
from extproc.server.credentials.identity import own_token
from extproc.server.credentials.oauth import REFUSED
from extproc.server.credentials.outbound import UNREACHABLE, UNUSABLE
from extproc.server.credentials.provider import Fetched, FetchError

IDENTITY_VARIABLE: Final = "AWS_WEB_IDENTITY_TOKEN_FILE"
_REGION: Final = "us-east-1"
_LIMITS: Final = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})
#: A server's code could repeat what it was sent: these alone are repeated.
#: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html (read 2026-11)
_CODES: Final = frozenset(
    {
        "AccessDenied",
        "ExpiredTokenException",
        "IDPCommunicationError",
        "IDPRejectedClaim",
        "InvalidIdentityToken",
        "MalformedPolicyDocument",
        "PackedPolicyTooLarge",
        "RegionDisabledException",
        "Throttling",
        "ValidationError",
    }
)


class WebIdentity:
    """The role ``role_arn``, for this processor's own token (IRSA). ``region``: whose STS is asked."""

    def __init__(self, role_arn: str, region: str | None) -> None:
        self._role_arn = role_arn
        self._region = region

    def fetch(self) -> Fetched:
        """Fresh keys, for an hour. The processor's own token is read each time, as it is rotated, too."""
        session = _session()
        region = self._region or session.get_config_variable("region") or _REGION
        token = own_token(IDENTITY_VARIABLE)
        try:
            sts = session.create_client("sts", region_name=region, config=Config(signature_version=UNSIGNED))
            found = sts.assume_role_with_web_identity(
                RoleArn=self._role_arn,
                RoleSessionName=os.environ.get("AWS_ROLE_SESSION_NAME", "llmroute"),
                WebIdentityToken=token,
            )["Credentials"]
            keys = AwsKeys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
            return Fetched(keys, found["Expiration"].timestamp())
        except (BotoCoreError, ClientError) as error:
            _fail(error)
        except (ResponseParserError, KeyError, AttributeError) as error:
            raise FetchError(UNUSABLE, type(error).__name__) from None


class DefaultChain:
    """Whatever the chain of AWS's SDKs finds: environment, shared files, web identity, container, instance."""

    def fetch(self) -> Fetched:
        """Keys as they are now; refreshed by botocore where they can be."""
        try:
            found = _session().get_credentials()
            if found is None:
                raise FetchError("the gateway has no credential of AWS", "nothing in botocore's chain")
            frozen = found.get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            _fail(error)
        except ResponseParserError as error:
            raise FetchError(UNUSABLE, type(error).__name__) from None
        # botocore tells only itself when keys expire; a test holds it to this name.
        ends = getattr(found, "_expiry_time", None)
        keys = AwsKeys(frozen.access_key, frozen.secret_key, frozen.token)
        return Fetched(keys, None if ends is None else ends.timestamp())


def _session() -> Any:
    session = botocore.session.Session()
    session.set_default_client_config(_LIMITS)
    session.set_config_variable("metadata_service_timeout", 2)
    session.set_config_variable("metadata_service_num_attempts", 2)
    return session


def _fail(error: BotoCoreError | ClientError) -> NoReturn:
    """Raise what may be said of ``error``, whose text can quote a request."""
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        raise FetchError(UNREACHABLE, type(error).__name__) from None
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = answer.get("Error", {}).get("Code")
    raise FetchError(f"{REFUSED} (HTTP {status})", code if code in _CODES else "") from None
