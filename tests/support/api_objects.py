"""LLMRoutes and LLMBackends as dictionaries, for tests that need many or odd ones."""

from typing import Any

API_VERSION = "aigateway.envoyproxy.io/v1alpha1"


def route(*rules: dict[str, Any], name: str = "chat", namespace: str = "team-a", **spec: Any) -> dict[str, Any]:
    """An LLMRoute with these rules and further fields of its spec."""
    metadata = {"name": name, "namespace": namespace, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": API_VERSION, "kind": "LLMRoute", "metadata": metadata, "spec": {**spec, "rules": list(rules)}}


def rule(model: str, *backends: str, **fields: Any) -> dict[str, Any]:
    """A rule for one model."""
    matches = [{"headers": [{"name": "x-ai-eg-model", "value": model}]}]
    return {"matches": matches, "backendRefs": [{"name": name} for name in backends], **fields}


def backend(name: str = "openai", namespace: str = "team-a", **spec: Any) -> dict[str, Any]:
    """An LLMBackend, by address unless ``spec`` says otherwise."""
    target = {} if "backendRef" in spec else {"endpoint": {"hostname": f"{name}.example.com"}}
    return {
        "apiVersion": API_VERSION,
        "kind": "LLMBackend",
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"outputSchema": {"schema": "OpenAI"}, **target, **spec},
    }
