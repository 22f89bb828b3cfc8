"""What ``examples/credentials.yaml`` finds in the environment and beside itself, and who gives tokens for it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.every_host import every_host
from tests.support.upstream_replies import Received, Reply, json_reply


@contextmanager
def example_keys(folder: Path, port: int) -> Iterator[None]:
    """The files and variables, for the time being; tokens come from a port of ``hosts_and_tokens``."""
    (folder / "aws-credentials").write_text("[default]\naws_access_key_id = AKIA1\naws_secret_access_key = secret\n")
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "client_email": "llmroute@acme-models.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem,
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    (folder / "vertex.json").write_text(json.dumps(account))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-openai")
        patch.setenv("AZURE_CLIENT_SECRET", "client secret")
        patch.setenv("LLMROUTE_GCP_TOKEN_URL", f"http://127.0.0.1:{port}/google/token")
        patch.setenv("AZURE_AUTHORITY_HOST", f"http://127.0.0.1:{port}")
        yield


def hosts_and_tokens(request: Received) -> Reply:
    """Every platform's answers, and a token wherever one is asked for."""
    if request.path.endswith("/token"):
        return json_reply({"access_token": f"of {request.path}", "expires_in": 3600, "token_type": "Bearer"})
    return every_host(request)
