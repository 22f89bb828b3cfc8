"""The processor's own identity in a cloud: not for everybody who may write a backend, and not for every host."""

from typing import Any

import pytest

from controller.api import Severity
from controller.api.reasons import Reason
from controller.translate import Settings, Snapshot, Translation, translate
from extproc.config.loader import dump, load
from tests.support.api_objects import backend

PLACE = {"project": "p", "location": "global"}
TENANT = {"tenantID": "contoso.com", "clientID": "11111111-2222-3333-4444-555555555555"}
ROLE = {"roleArn": "arn:aws:iam::123456789012:role/llmroute"}
POOL = {"audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b"}
REF = {"name": "a"}
OWN = [
    ("AWSBedrock", {"aws": {}}, "bedrock-runtime.eu-central-1.amazonaws.com"),
    ("AWSBedrock", {"aws": {"webIdentity": ROLE}}, "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
    ("AWSAnthropic", {"aws": {}}, "aws-external-anthropic.us-east-1.api.aws"),
    ("GCPVertexAI", {"gcp": PLACE}, "aiplatform.googleapis.com"),
    ("GCPAnthropic", {"gcp": {**PLACE, "workloadIdentity": POOL}}, "europe-west4-aiplatform.googleapis.com"),
    ("AzureOpenAI", {"azure": {**TENANT, "federatedToken": {}}}, "acme.openai.azure.com"),
    ("AzureOpenAI", {"azure": {**TENANT, "federatedToken": {}}}, "acme.cognitiveservices.azure.us"),
]
OF_A_SECRET = [
    ("AWSBedrock", {"aws": {"secretRef": REF}}),
    ("AWSBedrock", {"aws": {"bedrockAPIKey": {"secretRef": REF}}}),
    ("GCPVertexAI", {"gcp": {**PLACE, "serviceAccountSecretRef": REF}}),
    ("AzureOpenAI", {"azure": {**TENANT, "secretRef": REF}}),
    ("OpenAI", {"apiKey": {"secretRef": REF}}),
    ("OpenAI", {"passthrough": {}}),
]


def compiled(schema: str, auth: dict[str, Any], host: str, **settings: Any) -> Translation:
    endpoint = settings.pop("endpoint", {})
    one = backend(outputSchema={"schema": schema}, auth=auth, endpoint={"hostname": host, **endpoint})
    return translate(Snapshot.of([one], Settings(**{"local_endpoints": False, **settings})))


def refusals(made: Translation) -> list[str]:
    return [found.path for found in made.findings if found.reason is Reason.IDENTITY_NOT_PERMITTED]


@pytest.mark.parametrize(("schema", "auth", "host"), OWN)
def test_who_may_not_use_it_gets_503_and_the_processor_does_not_look_for_it(
    schema: str, auth: dict[str, Any], host: str
) -> None:
    """What is configured names a file that is never there, and no source of tokens."""
    made = compiled(schema, auth, host, ambient_identities=("platform", "team-b*"))

    [one] = made.config.backends
    assert refusals(made) == [f"spec.auth.{next(iter(auth))}"]
    assert one.auth is not None
    assert one.auth.api_key is not None
    assert one.auth.api_key.file.startswith("_withheld.team-a.openai.")
    assert not made.credentials
    assert load(dump(made.config)) == made.config


@pytest.mark.parametrize("allowed", [None, ("team-a",), ("team-*",), ("*",)])
@pytest.mark.parametrize(("schema", "auth", "host"), OWN)
def test_who_may_use_it_does_so_at_the_clouds_own_hosts(
    schema: str, auth: dict[str, Any], host: str, allowed: tuple[str, ...] | None
) -> None:
    """On one machine everybody may, which is whoever runs it."""
    made = compiled(schema, auth, host, ambient_identities=allowed)

    assert [found for found in made.findings if found.severity is Severity.ERROR] == []
    [one] = made.config.backends
    assert one.auth is not None
    assert one.auth.api_key is None


@pytest.mark.parametrize(("schema", "auth"), OF_A_SECRET)
def test_what_is_in_a_secret_needs_no_such_permission(schema: str, auth: dict[str, Any]) -> None:
    """Who may name the Secret may use it, at any host."""
    assert refusals(compiled(schema, auth, "collector.example.com", ambient_identities=())) == []


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("collector.evil.example", {}),
        ("aiplatform.googleapis.com.evil.example", {}),
        ("evilgoogleapis.com", {}),
        ("googleapis.com", {}),
        ("10.0.0.7", {}),
        ("aiplatform.googleapis.com", {"port": 80}),
        ("aiplatform.googleapis.com", {"tls": {"sni": "evil.example"}}),
        ("aiplatform.googleapis.com", {"tls": {"insecureSkipVerify": True}}),
        ("evil.example", {"tls": {"sni": "aiplatform.googleapis.com"}}),
    ],
)
def test_it_goes_to_nobody_else(host: str, endpoint: dict[str, Any]) -> None:
    """Neither to another host, nor to whoever stands in for one where no certificate is checked."""
    made = compiled("GCPVertexAI", {"gcp": PLACE}, host, endpoint=endpoint, ambient_identities=("*",))

    assert refusals(made) == ["spec.auth.gcp"]


def test_where_local_endpoints_are_allowed_it_may_go_there() -> None:
    """A stand-in for the cloud, on the same machine."""
    settings: dict[str, Any] = {"ambient_identities": ("*",), "endpoint": {"port": 8080}}

    assert refusals(compiled("GCPVertexAI", {"gcp": PLACE}, "127.0.0.1", local_endpoints=True, **settings)) == []
    assert refusals(compiled("GCPVertexAI", {"gcp": PLACE}, "10.0.0.7", local_endpoints=True, **settings)) != []


def test_a_service_of_the_cluster_is_not_the_cloud() -> None:
    """Whoever may write a Service would read what is sent to it."""
    ref = {"kind": "Service", "name": "fake", "port": 80}
    one = backend(outputSchema={"schema": "GCPVertexAI"}, auth={"gcp": PLACE}, backendRef=ref)
    made = translate(Snapshot.of([one], Settings(ambient_identities=("*",))))

    assert refusals(made) == ["spec.auth.gcp"]
