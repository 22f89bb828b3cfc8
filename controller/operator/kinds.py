"""The kinds of objects that the operator reads."""

from dataclasses import dataclass

from controller.api.backend import ENVOY_GATEWAY_GROUP
from controller.api.shape import GROUP, VERSION
from controller.translate.grants import GATEWAY_GROUP


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as the API server knows it.

    Attributes:
        group: empty for the core group.
        name: what an object calls itself, as ``LLMRoute``.
        optional: the operator works without it, with less to offer.
    """

    group: str
    version: str
    plural: str
    name: str
    optional: bool = False

    @property
    def api_version(self) -> str:
        """What stands in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of its API, which also tells whether the server has the kind."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of all of its objects, those of a namespace, one of them, or a part of that one."""
        scope = "" if namespace is None else f"/namespaces/{namespace}"
        return self.root + scope + "".join(f"/{part}" for part in (self.plural, name, subresource) if part)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


LLM_ROUTES = Kind(GROUP, VERSION, "llmroutes", "LLMRoute")
LLM_BACKENDS = Kind(GROUP, VERSION, "llmbackends", "LLMBackend")
GATEWAY_BACKENDS = Kind(ENVOY_GATEWAY_GROUP, "v1alpha1", "backends", "Backend", optional=True)
#: v1beta1 is what every release of the Gateway API since 0.8 serves.
REFERENCE_GRANTS = Kind(GATEWAY_GROUP, "v1beta1", "referencegrants", "ReferenceGrant", optional=True)

#: What it is asked for is whether a Service is there and has the port: nothing else would tell that traffic is broken.
SERVICES = Kind("", "v1", "services", "Service", optional=True)

#: What is read, in the order in which it is read first: what others refer to comes before them.
KINDS = (LLM_BACKENDS, LLM_ROUTES, SERVICES, GATEWAY_BACKENDS, REFERENCE_GRANTS)

#: What is written in Envoy Gateway mode, in the order in which it is written: what others refer to comes before them.
HTTP_ROUTES = Kind(GATEWAY_GROUP, "v1", "httproutes", "HTTPRoute", optional=True)
ROUTE_FILTERS = Kind(ENVOY_GATEWAY_GROUP, "v1alpha1", "httproutefilters", "HTTPRouteFilter", optional=True)
EXTENSION_POLICIES = Kind(
    ENVOY_GATEWAY_GROUP, "v1alpha1", "envoyextensionpolicies", "EnvoyExtensionPolicy", optional=True
)
GATEWAY_KINDS = (GATEWAY_BACKENDS, ROUTE_FILTERS, HTTP_ROUTES, EXTENSION_POLICIES)

CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
EVENTS = Kind("", "v1", "events", "Event")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACES = Kind("", "v1", "namespaces", "Namespace")
PODS = Kind("", "v1", "pods", "Pod")
#: Never listed: only those are read that a resource names, one by one.
SECRETS = Kind("", "v1", "secrets", "Secret")
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
