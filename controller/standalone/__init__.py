"""The gateway on one machine: manifests from files, the ``translate`` of the cluster, real Envoy and extproc."""
