"""The contract between the control plane and the data plane: the schema of the extproc ConfigMap.

The controller imports this room to write what the processor loads; nothing here knows Kubernetes, gRPC or the clock.
"""
