"""The LLMRoute control plane: resources in, extproc and Envoy configuration out."""
