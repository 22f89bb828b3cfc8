"""Who gives tokens and who asks for them: the clouds' token endpoints, and an upstream that lets in whom it knows.

Both know a backend by its name, which is in the path or in the body of whatever is sent for it.
"""

import base64
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from extproc.credentials.held import AwsKeys
from tests.support.credential_table import AUTHS, STATES
from tests.support.every_host import every_host
from tests.support.token_servers import HANG, Answer, Asked, sts_keys, token, token_server, told
from tests.support.upstreams import Received, Reply, json_reply, running_upstream

#: Every secret has it, so that none is seen anywhere unnoticed.
MARK = "mArKeD"
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"
_NAME = re.compile(rf"({'|'.join(AUTHS)})-({'|'.join(STATES)})")
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=(?P<id>\w+)/\d{8}/us-east-1/bedrock/aws4_request, ")
_KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key", "x-amz-security-token")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the upstream was shown for a backend. ``what``: a header's value, or the id of the keys of a signature."""

    what: str
    at: float


@dataclass
class Realm:
    """``known``: header values that are good, by backend; ``keys``: of AWS, by their id. Tokens add themselves."""

    tokens_url: str = ""
    port: int = 0
    life_s: float = 3600
    known: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    keys: dict[str, dict[str, AwsKeys]] = field(default_factory=lambda: defaultdict(dict))
    shown: dict[str, list[Shown]] = field(default_factory=lambda: defaultdict(list))
    asked: list[Asked] = field(default_factory=list)
    #: The processor's own tokens, each of which providers take.
    identities: set[str] = field(default_factory=set)
    #: Of service accounts, by the id of the key.
    google: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)
    client_secrets: set[str] = field(default_factory=set)

    def give(self, asked: Asked) -> Answer:
        """What a provider of tokens says."""
        self.asked.append(asked)
        name, proof = self._proof(asked)
        if proof is None:
            return told({"error": "invalid_client", "error_description": asked.body.decode()}, 401)
        state = name.partition("-")[2]
        if state == "slow":
            return HANG
        if state == "malformed":
            return Answer(200, b"<html>\n" + asked.body)
        value = f"{MARK}-{name}-{sha256(proof.encode()).hexdigest()[:12]}"
        life = 0 if state == "expired" else self.life_s
        if name.startswith("webidentity"):
            keys = AwsKeys(
                f"ASIA{sha256(proof.encode()).hexdigest()[:16].upper()}", f"{value}-secret", f"{value}-session"
            )
            self.keys[name][keys.access_key_id] = keys
            return sts_keys(keys.access_key_id, keys.secret_access_key, str(keys.session_token), time.time() + life - 1)
        self.known[name].add(f"Bearer {value}")
        return token(value, life or 1)

    def serve(self, request: Received) -> Reply:
        """What an upstream says."""
        found = _NAME.search(request.path) or _NAME.search(request.body.decode())
        assert found is not None, request.path
        name = found[0]
        values = [value for each in _KEY_HEADERS if (value := request.header(each)) is not None]
        what = self._maybe_verified(name, request) if name in self.keys else values[0] if len(values) == 1 else None
        if name.startswith("none-") and not values and not name.endswith("-expired"):
            what = ""
        elif what is None or (name not in self.keys and what not in self.known[name]):
            return _refusal(request, values)
        self.shown[name].append(Shown(what, time.monotonic()))
        return every_host(request)

    def google_key(self, name: str) -> str:
        """A new key of a service account, as a file."""
        private = rsa.generate_private_key(65537, 2048)
        number = f"{len(self.google)}"
        self.google[number] = private.public_key()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        email = f"{name}@p-12345.iam.gserviceaccount.com"
        made = {"type": "service_account", "client_email": email, "private_key_id": number, "private_key": pem}
        return json.dumps({**made, "token_uri": GOOGLE_TOKEN_URI})

    def aws_file(self, name: str, number: int) -> str:
        """New keys, as AWS's own tools keep them; the upstream knows them from now on."""
        keys = AwsKeys(f"AKIA{MARK}{number}", f"{MARK}-{name}-{number}", f"{MARK}-session-{number}")
        self.keys[name][keys.access_key_id] = keys
        said = f"aws_access_key_id = {keys.access_key_id}\naws_secret_access_key = {keys.secret_access_key}\n"
        return f"[default]\n{said}aws_session_token = {keys.session_token}\n"

    def _proof(self, asked: Asked) -> tuple[str, str | None]:
        """For whom a token is asked, and what proves it; None where that is not so."""
        form = asked.form
        if "assertion" in form:
            head, payload, signature = (base64.urlsafe_b64decode(part + "==") for part in form["assertion"].split("."))
            number = json.loads(head)["kid"]
            signed = form["assertion"].rpartition(".")[0].encode()
            self.google[number].verify(signature, signed, padding.PKCS1v15(), SHA256())
            return str(json.loads(payload)["iss"]).partition("@")[0], number
        found = _NAME.search(form.get("RoleArn", "") or form.get("audience", "") or asked.path)
        assert found is not None, asked
        own = form.get("WebIdentityToken") or form.get("subject_token") or form.get("client_assertion")
        if own is None:
            secret = form["client_secret"]
            return found[0], secret if secret in self.client_secrets else None
        return found[0], own if own in self.identities else None

    def _maybe_verified(self, name: str, request: Received) -> str | None:
        """The id of the keys that have signed the request as it is here."""
        said = request.header("authorization") or ""
        found = _SIGNED.match(said)
        keys = None if found is None else self.keys[name].get(found["id"])
        at, content_type = request.header("x-amz-date"), request.header("content-type")
        if keys is None or at is None or request.header("x-amz-security-token") != keys.session_token:
            return None
        url = f"http://{request.header('host')}{request.path}"
        ours = AWSRequest(request.method, url, data=request.body, headers={"content-type": content_type})
        moment = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        with patch.object(botocore.auth, "get_current_datetime", lambda: moment):
            theirs = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
            botocore.auth.SigV4Auth(theirs, "bedrock", "us-east-1").add_auth(ours)
        return keys.access_key_id if ours.headers["authorization"] == said else None


def environment_of(realm: Realm, identity: Path) -> dict[str, str]:
    """A processor's that leads to the realm and nowhere else."""
    google = {f"LLMROUTE_GCP_{name}_URL": f"{realm.tokens_url}/{name.lower()}" for name in ("STS", "IAM", "TOKEN")}
    files = ("AWS_WEB_IDENTITY_TOKEN_FILE", "LLMROUTE_GCP_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE")
    return {
        **google,
        **dict.fromkeys(files, str(identity)),
        "AWS_ENDPOINT_URL_STS": realm.tokens_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_GCE_CHECK": "true",
        "AZURE_AUTHORITY_HOST": realm.tokens_url,
    }


@contextmanager
def running_realm(life_s: float = 3600) -> Iterator[Realm]:
    """Its servers run until the end. ``life_s``: of tokens."""
    with token_server() as clouds, running_upstream() as upstream:
        realm = Realm(clouds.url, upstream.port, life_s)
        clouds.answer = realm.give
        upstream.answer_with(realm.serve)
        yield realm


def _refusal(request: Received, values: list[str]) -> Reply:
    """As the vendor says it, with what it was shown: that must not come further than the gateway."""
    words = f"Incorrect key provided: {', '.join(values)}"
    if request.path.startswith("/model/"):
        reply = json_reply({"message": words}, 403)
        return Reply(reply.parts, 403, {**reply.headers, "x-amzn-errortype": "ExpiredTokenException"})
    if ":generateContent" in request.path:
        return json_reply({"error": {"code": 401, "message": words, "status": "UNAUTHENTICATED"}}, 401)
    error = {"message": words, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    return json_reply({"error": error}, 401)
