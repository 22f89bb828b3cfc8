"""What a signature costs: AWS Signature Version 4 for a body of 2 kB, beside botocore's own signer, in this process."""

import time
from collections.abc import Callable
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from extproc.config.auth import Auth
from extproc.credentials.held import AwsKeys
from extproc.credentials.showing import Sending, Shown, show

BUDGET_US = 150.0
_HOST = "bedrock-runtime.us-east-1.amazonaws.com"
_ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"
_PATH = f"/model/{quote(_ARN, safe='')}/converse"
_BODY = b"x" * 2048
_TYPED = {"content-type": "application/json"}
_KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjE" * 40)
_ROUNDS = 7
_CALLS = 500


def _best_us(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.process_time()
        for _ in range(_CALLS):
            call()
        best = min(best, time.process_time() - start)
    return best / _CALLS * 1e6


def measure() -> dict[str, float]:
    """Microseconds of CPU a signature, best of several rounds, and how many of ours botocore's takes."""
    keys, auth = AwsKeys(*_KEYS), Auth.model_validate({"aws": {}})
    now = time.time()
    sending = Sending("POST", _PATH, _HOST, _TYPED["content-type"], _BODY, "authorization", now)
    theirs = SigV4Auth(Credentials(*_KEYS), "bedrock", "us-east-1")

    def ours() -> None:
        assert isinstance(show(keys, auth, sending), Shown)

    def botocores() -> None:
        theirs.add_auth(AWSRequest(method="POST", url=f"https://{_HOST}{_PATH}", data=_BODY, headers=_TYPED))

    own_us, botocore_us = _best_us(ours), _best_us(botocores)
    return {"us": own_us, "botocore_us": botocore_us, "ratio": own_us / botocore_us, "budget_us": BUDGET_US}
