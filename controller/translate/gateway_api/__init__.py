"""Envoy Gateway mode: the routes as objects of the Gateway API and of Envoy Gateway, as plain documents.

Facts are from Gateway API v1.6.1 and Envoy Gateway's own definitions and sources (read 2026-11-22). All defaults of
their schemas are spelled out, so that what an API server gives back is what was sent.
"""

from controller.translate.gateway_api.attachments import Attachment, GatewayObjects, gateway_objects, is_attached
from controller.translate.gateway_api.names import FILTER, GATEWAY_BACKEND, HTTP_ROUTE, POLICY, ObjectKind

__all__ = [
    "FILTER",
    "GATEWAY_BACKEND",
    "HTTP_ROUTE",
    "POLICY",
    "Attachment",
    "GatewayObjects",
    "ObjectKind",
    "gateway_objects",
    "is_attached",
]
