"""``spec.auth`` beyond its samples."""

from typing import Any

import pytest

from controller.api import InvalidResource, parse_backend
from controller.api.auth import is_taken
from extproc.config.auth import ApiKeyAuth, AwsAuth, AzureAuth, GcpAuth
from extproc.config.names import gateway_headers
from extproc.config.schema import Config
from extproc.exchange.header_names import CREDENTIALS, is_for_keys
from tests.support.api_objects import backend

SECRET = {"secretRef": {"name": "a"}}
GCP = {"project": "acme", "location": "us"}


@pytest.mark.parametrize(
    "header",
    [
        *("Host", "te", "expect", "content-type", "Proxy-Authorization", "accept", "accept-language", "user-agent"),
        *("anthropic-version", "Anthropic-Beta", "openai-organization", "idempotency-key", "x-stainless-lang"),
        *("b3", "x-b3-traceid", "x-forwarded-for", "X-Envoy-Original-Path", "x-request-id"),
        *gateway_headers("a-b", "c-d")[2:],
    ],
)
def test_headers_with_a_meaning_of_their_own_take_no_key(header: str) -> None:
    """What the processor shows to everybody, what frames a message, and what the gateway routes by."""
    with pytest.raises(InvalidResource, match="this header is not for keys"):
        parse_backend(backend(auth={"apiKey": {**SECRET, "header": header}}))


@pytest.mark.parametrize("header", [*sorted(CREDENTIALS), "X-Team-Key", "ocp-apim-subscription-key", "accepted"])
def test_other_headers_may(header: str) -> None:
    """The usual ones of providers, and whatever one makes up; the processor agrees."""
    assert parse_backend(backend(auth={"apiKey": {**SECRET, "header": header}})).spec.auth is not None
    assert is_for_keys(header.lower())
    assert {is_taken(name) for name in (Config().backend_routing_header_key, Config().model_name_header_key)} == {True}


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({}, None),
        ({"gcp": GCP}, GCP),
        ({"auth": {"gcp": GCP}}, GCP),
        ({"gcp": GCP, "auth": {"gcp": GCP}}, GCP),
        ({"gcp": GCP, "auth": {"gcp": {}}}, GCP),
        ({"gcp": GCP, "auth": {"apiKey": SECRET}}, GCP),
    ],
)
def test_the_place_may_stand_with_the_credential(spec: dict[str, Any], place: dict[str, str] | None) -> None:
    """Project and location are the backend's, wherever they are written."""
    found = parse_backend(backend(outputSchema={"schema": "GCPVertexAI"}, **spec)).spec.place

    assert (found and found.model_dump()) == place


def test_what_the_api_takes_the_processor_takes() -> None:
    """The longest values of the CRD fit into the processor's file."""
    long = "a" * 63
    role = "arn:aws-us-gov:iam::123456789012:role/" + "a" * 2000
    audience = "//iam.googleapis.com/" + "a" * 1000
    spec = {"webIdentity": {"roleArn": role}, "region": long, "service": long}
    assert parse_backend(backend(outputSchema={"schema": "AWSBedrock"}, auth={"aws": spec})).spec.auth is not None
    identity = {"audience": audience, "serviceAccount": f"a@{'a' * 300}"}
    google = {**GCP, "workloadIdentity": identity}
    assert parse_backend(backend(outputSchema={"schema": "GCPVertexAI"}, auth={"gcp": google})).spec.auth is not None

    AwsAuth(source="webIdentity", role_arn=role, region=long, service=long)
    GcpAuth(source="workloadIdentity", audience=audience, service_account=identity["serviceAccount"])
    AzureAuth(source="federatedToken", tenant_id="a" * 253, client_id="a" * 36)
    ApiKeyAuth(file="a" * 253, header="a" * 256, prefix="a" * 64)
