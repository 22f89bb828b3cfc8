"""Why a condition is as it is: the closed list of reasons, each with its meaning and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ConditionType(StrEnum):
    """The conditions of a status, in the order they are written."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    SERVING = "Serving"
    WARNINGS = "Warnings"


class Reason(StrEnum):
    """A condition's ``reason``."""

    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    PARTIALLY_INVALID = "PartiallyInvalid"
    RESOLVED_REFS = "ResolvedRefs"
    NOT_CHECKED = "NotChecked"
    BACKEND_NOT_FOUND = "BackendNotFound"
    BACKEND_UNUSABLE = "BackendUnusable"
    NO_BACKENDS = "NoBackends"
    TARGET_NOT_FOUND = "TargetNotFound"
    TARGET_UNUSABLE = "TargetUnusable"
    TARGET_NOT_PERMITTED = "TargetNotPermitted"
    REF_NOT_PERMITTED = "RefNotPermitted"
    IDENTITY_NOT_PERMITTED = "IdentityNotPermitted"
    ISSUER_TAKEN = "IssuerTaken"
    CREDENTIAL_NOT_FOUND = "SecretNotFound"
    CREDENTIAL_KEY_NOT_FOUND = "SecretKeyNotFound"
    CREDENTIAL_UNREADABLE = "SecretUnreadable"
    CREDENTIAL_MALFORMED = "SecretMalformed"
    NOT_EXPRESSIBLE = "NotExpressible"
    PROCESSOR_TOO_OLD = "ProcessorTooOld"
    PROGRAMMED = "Programmed"
    PARTIALLY_PROGRAMMED = "PartiallyProgrammed"
    NOT_PROGRAMMED = "NotProgrammed"
    CONFIG_TOO_LARGE = "ConfigTooLarge"
    CONFIG_NOT_WRITTEN = "ConfigNotWritten"
    NO_PARENTS = "NoParents"
    GATEWAY_UNAVAILABLE = "GatewayUnavailable"
    GATEWAY_NOT_WRITTEN = "GatewayNotWritten"
    PARENT_REFUSED = "ParentRefused"
    PARENT_UNRESOLVED = "ParentUnresolved"
    PARENT_SILENT = "ParentSilent"
    SERVING = "Serving"
    REPLICAS_LAG = "ReplicasLag"
    CONFIG_REFUSED = "ConfigRefused"
    NOT_SERVED = "NotServed"
    NO_REPLICAS = "NoReplicas"
    REPLICA_SILENT = "ReplicaSilent"
    SHADOWED_RULE = "ShadowedRule"
    UNREACHABLE_MATCH = "UnreachableMatch"
    ZERO_WEIGHTS = "ZeroWeights"
    DUPLICATE_BACKEND = "DuplicateBackend"
    UNUSED_BACKEND = "UnusedBackend"
    CERTIFICATE_UNCHECKED = "CertificateUnchecked"
    BACKEND_WITHOUT_CREDENTIAL = "BackendWithoutCredential"
    CREDENTIAL_IN_CLEAR = "CredentialInClear"
    CONFIG_NEARLY_FULL = "ConfigNearlyFull"
    SEVERAL_WARNINGS = "SeveralWarnings"
    DUPLICATE_OBJECT = "DuplicateObject"
    IGNORED_OBJECT = "IgnoredObject"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason says. ``condition`` None: it is only ever a finding about a file, no object's status carries it."""

    condition: ConditionType | None
    status: str
    meaning: str
    remedy: str


_A, _R, _P, _S, _W = ConditionType
_NOTHING = "nothing"

MEANINGS: Mapping[Reason, Meaning] = {
    Reason.ACCEPTED: Meaning(_A, "True", "the object is valid", _NOTHING),
    Reason.INVALID: Meaning(
        _A, "False", "the object is not valid and nothing of it is used", "mend the fields that the message names"
    ),
    Reason.PARTIALLY_INVALID: Meaning(
        _A,
        "False",
        "some rules are not valid; the others are used. A rule whose matches can be read answers 503, so that its "
        "traffic does not fall through to a broader rule",
        "mend the fields that the message names",
    ),
    Reason.RESOLVED_REFS: Meaning(_R, "True", "all that the object names exists and may be used", _NOTHING),
    Reason.NOT_CHECKED: Meaning(
        _R, "Unknown", "the object is not valid, so its references were not followed", "make it valid first"
    ),
    Reason.BACKEND_NOT_FOUND: Meaning(
        _R,
        "False",
        "a rule names an LLMBackend that does not exist in the route's namespace. It is left out of the rule; a rule "
        "with none left answers 503",
        "create the backend, or correct the name",
    ),
    Reason.BACKEND_UNUSABLE: Meaning(
        _R,
        "False",
        "a rule names an LLMBackend that exists but is not accepted or not resolved. It is left out of the rule as if "
        "it were not there",
        "see that backend's own status",
    ),
    Reason.NO_BACKENDS: Meaning(
        _W, "True", "a rule has no backendRefs and answers 503", "add a backend, or remove the rule"
    ),
    Reason.TARGET_NOT_FOUND: Meaning(
        _R,
        "False",
        "the Backend or Service that backendRef names does not exist",
        "create it, or correct the reference",
    ),
    Reason.TARGET_UNUSABLE: Meaning(
        _R,
        "False",
        "the Backend that backendRef names has no endpoint, or a value that cannot be used; or the Service that it "
        "names lacks the port",
        "mend that Backend, or correct the port",
    ),
    Reason.TARGET_NOT_PERMITTED: Meaning(
        _R,
        "False",
        "the endpoint is at an address of Envoy's own machine or link: loopback, or a cloud's metadata service, which "
        "would answer whoever asks with the machine's own credentials",
        "name the upstream by its address in the network; or, where all who may write LLMBackends are trusted with "
        "Envoy's machine, start the operator with --local-endpoints",
    ),
    Reason.REF_NOT_PERMITTED: Meaning(
        _R,
        "False",
        "a reference leads into another namespace and no ReferenceGrant there allows it; or it is to a Secret that is "
        "no object's to use: the operator's own, a ServiceAccount's token, a Helm release",
        "create a ReferenceGrant in the target's namespace; or name another Secret",
    ),
    Reason.IDENTITY_NOT_PERMITTED: Meaning(
        _R,
        "False",
        "the backend asks for the gateway's own identity in a cloud, which its namespace may not use, or not at that "
        "host; what needs it answers 503",
        "name a Secret; or start the operator with --ambient-credentials NAMESPACE, and use the cloud's own host name",
    ),
    Reason.ISSUER_TAKEN: Meaning(
        _R,
        "False",
        "an older LLMRoute of another namespace has the keys of the same issuer of tokens from another address, and "
        "Envoy waits for both when it has neither: its tokens let nobody in here",
        "give the key set as jwks or jwksConfigMapRef, or use the same jwksURI",
    ),
    Reason.CREDENTIAL_NOT_FOUND: Meaning(
        _R,
        "False",
        "a Secret (or ConfigMap) that the object names does not exist; what needs it answers 503",
        "create it, or correct the name",
    ),
    Reason.CREDENTIAL_KEY_NOT_FOUND: Meaning(
        _R,
        "False",
        "a Secret (or ConfigMap) that the object names lacks the key, or has nothing in it; what needs it answers 503",
        "add the key, or name another one",
    ),
    Reason.CREDENTIAL_UNREADABLE: Meaning(
        _R,
        "False",
        "the operator may not read a Secret (or ConfigMap) that the object names; what needs it answers 503",
        "give the operator's account the right to get and watch it (docs/operator.md)",
    ),
    Reason.CREDENTIAL_MALFORMED: Meaning(
        _R,
        "False",
        "what stands in a Secret (or ConfigMap) cannot be what it is used for; what needs it answers 503",
        "put in what the message asks for",
    ),
    Reason.NOT_EXPRESSIBLE: Meaning(
        _R,
        "False",
        "in Envoy Gateway mode: the object asks for something that cannot be said to Envoy Gateway, so it is not "
        "served, or lets nobody in",
        "do without, or see docs/envoy-gateway.md for another way",
    ),
    Reason.PROCESSOR_TOO_OLD: Meaning(
        _R,
        "False",
        "the object asks for something that the configuration cannot say in the version that all extproc pods read, so "
        "it is not served until the last of them is upgraded",
        "let the upgrade of extproc come to its end",
    ),
    Reason.PROGRAMMED: Meaning(
        _P,
        "True",
        "the object's compiled part is in the configuration; the message has the hash of that part alone",
        _NOTHING,
    ),
    Reason.PARTIALLY_PROGRAMMED: Meaning(
        _P, "False", "the valid rules are in the configuration, the others are not", "see Accepted"
    ),
    Reason.NOT_PROGRAMMED: Meaning(
        _P, "False", "nothing of the object is in the configuration", "see the other conditions"
    ),
    Reason.CONFIG_TOO_LARGE: Meaning(
        _P,
        "False",
        "the object as it is now did not get into the configuration, because the whole is larger than a ConfigMap may "
        "be. What was written before is served on",
        "remove routes or backends, or shorten their rules; the message says by how much it is too large",
    ),
    Reason.CONFIG_NOT_WRITTEN: Meaning(
        _P,
        "False",
        "the object as it is now did not get into the configuration, because the ConfigMap cannot be written. What was "
        "written before is served on",
        "see the message: most often a permission of the controller's ServiceAccount, or a quota",
    ),
    Reason.NO_PARENTS: Meaning(
        _P,
        "False",
        "in Envoy Gateway mode a route is served by the Gateways that it names, and this one names none: nothing of it "
        "is in the configuration",
        "name a Gateway in spec.parentRefs",
    ),
    Reason.GATEWAY_UNAVAILABLE: Meaning(
        _P,
        "False",
        "the cluster lacks a kind of Gateway API or Envoy Gateway, or the operator may not read or write it, so Envoy "
        "Gateway has not heard of the object as it is now",
        "install what the message names, or give the operator's account the right (docs/envoy-gateway.md)",
    ),
    Reason.GATEWAY_NOT_WRITTEN: Meaning(
        _P,
        "False",
        "the API server did not take what was compiled for Envoy Gateway; what was written before is served on",
        "see the message: most often a permission, a quota, or an object of somebody else that has the name",
    ),
    Reason.PARENT_REFUSED: Meaning(
        _P,
        "False",
        "Envoy Gateway does not accept what was compiled from the object; the message has its words",
        "see the message: most often the Gateway's listeners do not allow routes from this namespace or host",
    ),
    Reason.PARENT_UNRESOLVED: Meaning(
        _P,
        "False",
        "Envoy Gateway accepts what was compiled from the object, but cannot use something that it refers to; the "
        "message has its words",
        "see the message: most often a ReferenceGrant for HTTPRoutes, or for the extproc Service, is missing",
    ),
    Reason.PARENT_SILENT: Meaning(
        _P,
        "Unknown",
        "what was compiled from the object is written, and Envoy Gateway has not said yet what it thinks of it",
        "wait; if it stays, see whether the Gateway that the message names exists and Envoy Gateway runs",
    ),
    Reason.SERVING: Meaning(
        _S,
        "True",
        "every ready extproc pod serves a configuration with the object's present part in it",
        _NOTHING,
    ),
    Reason.REPLICAS_LAG: Meaning(
        _S,
        "False",
        "some ready extproc pods still serve an older configuration; the message names them and says since when",
        "wait: a volume takes up to a minute or two to follow its ConfigMap; if it takes longer, look at those pods",
    ),
    Reason.CONFIG_REFUSED: Meaning(
        _S,
        "False",
        "an extproc pod cannot load the present configuration and serves the last one that it could",
        "see the message, which is that pod's own; most often extproc is older than the controller",
    ),
    Reason.NOT_SERVED: Meaning(
        _S, "False", "nothing of the object is in the configuration, so nothing of it is served", "see Programmed"
    ),
    Reason.NO_REPLICAS: Meaning(
        _S, "Unknown", "no extproc pod is ready", "look at the extproc Deployment, and at the label its pods have"
    ),
    Reason.REPLICA_SILENT: Meaning(
        _S,
        "Unknown",
        "a ready extproc pod cannot be asked what it serves",
        "see the message: most often a NetworkPolicy between the controller and the pods' admin port",
    ),
    Reason.SHADOWED_RULE: Meaning(
        _W,
        "True",
        "a rule never gets a request, because earlier rules take all that it matches",
        "remove it, or reorder",
    ),
    Reason.UNREACHABLE_MATCH: Meaning(
        _W,
        "True",
        "one match of a rule can never be met, or an earlier rule takes all of it",
        "remove or correct the match",
    ),
    Reason.ZERO_WEIGHTS: Meaning(
        _W, "True", "all usable backends of a rule have weight 0, so it answers 503", "give one of them a weight"
    ),
    Reason.DUPLICATE_BACKEND: Meaning(
        _W, "True", "a rule lists the same backend with the same model twice", "keep one and add up the weights"
    ),
    Reason.UNUSED_BACKEND: Meaning(_W, "True", "no rule of any route uses the backend", "use it, or remove it"),
    Reason.CERTIFICATE_UNCHECKED: Meaning(
        _W,
        "True",
        "the upstream's certificate is not checked, as insecureSkipVerify says",
        "name its authorities in caCertificateRef, and remove insecureSkipVerify",
    ),
    Reason.BACKEND_WITHOUT_CREDENTIAL: Meaning(
        _W,
        "True",
        "a rule names an LLMBackend whose credential is missing. It keeps its share of the traffic and answers 503",
        "see ResolvedRefs of that backend",
    ),
    Reason.CREDENTIAL_IN_CLEAR: Meaning(
        _W,
        "True",
        "a credential of the gateway's is sent without TLS to a host outside of the cluster",
        "use TLS, or another host",
    ),
    Reason.CONFIG_NEARLY_FULL: Meaning(
        _W,
        "True",
        "the configuration as a whole takes more than 80 % of what its ConfigMap may hold; beyond it, changes are "
        "refused. Every object that is in it says so, because any of them may be the one that has to go",
        "remove what is not needed; the metric llmroute_controller_config_bytes has the size",
    ),
    Reason.SEVERAL_WARNINGS: Meaning(_W, "True", "there are warnings of several kinds", "read the message"),
    Reason.DUPLICATE_OBJECT: Meaning(
        None, "", "two objects of one kind have the same name; the first one counts", "rename or remove one"
    ),
    Reason.IGNORED_OBJECT: Meaning(
        None, "", "the object is of a kind that is not read here", "remove it, or check its kind"
    ),
}


def table() -> str:
    """The reasons as a Markdown table, for the docs."""
    lines = ["| condition | status | reason | meaning | what to do |", "|---|---|---|---|---|"]
    for condition in ConditionType:
        lines += [
            f"| {condition} | {m.status} | `{reason}` | {m.meaning} | {m.remedy} |"
            for reason, m in MEANINGS.items()
            if m.condition is condition
        ]
    return "\n".join(lines) + "\n"
