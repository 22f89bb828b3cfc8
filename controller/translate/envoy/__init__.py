"""Envoy's configuration for the bundled data plane, as plain documents: bootstrap, listener, routes and clusters.

Every value that departs from Envoy's defaults is measured or argued for where it is set; the facts are from runs with
Envoy 1.40 in November 2026.
"""
