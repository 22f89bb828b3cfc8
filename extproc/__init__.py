"""The LLMRoute data plane: an Envoy external processor that knows no Kubernetes."""
