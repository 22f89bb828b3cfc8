"""The main ways to install the chart, each as the values that ask for it."""

from typing import Any

Values = dict[str, Any]

_MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]

EVERYTHING: Values = {
    "commonLabels": {"team": "platform"},
    "pathPrefix": "/llm",
    "logLevel": "debug",
    "image": {"registry": "registry.example.com/llmroute", "tag": "1.2.3", "pullSecrets": ["registry"]},
    "ipFamilyPolicy": "PreferDualStack",
    "ipFamilies": ["IPv4", "IPv6"],
    "operator": {
        "localEndpoints": True,
        "ambientCredentials": ["team-*"],
        "serviceAccount": {"annotations": {"example.com/a": "b"}},
        "podAnnotations": {"example.com/a": "b"},
        "podLabels": {"example.com/c": "d"},
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
    },
    "extproc": {
        "identity": {
            "aws": {"enabled": True},
            "gcp": {"enabled": True, "audience": "//iam.googleapis.com/projects/1/x"},
            "azure": {"enabled": True},
        },
        "autoscaling": {"enabled": True},
        "image": {"digest": f"sha256:{'0' * 64}"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    },
    "envoy": {
        "tls": {"enabled": True, "secretName": "certificate"},
        "autoscaling": {"enabled": True},
        "service": {
            "type": "LoadBalancer",
            "annotations": {"example.com/a": "b"},
            "loadBalancerClass": "example.com/lb",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "externalTrafficPolicy": "Local",
            "httpNodePort": 30080,
            "httpsNodePort": 30443,
        },
    },
    "rbac": {
        "secrets": "Named",
        "secretNames": [
            {"namespace": "team-a", "names": ["openai-key"]},
            {"namespace": "team-b", "names": ["key"]},
            {"namespace": "team-a", "names": ["other-key", "openai-key"]},
        ],
        "aggregate": True,
    },
    "networkPolicy": {"monitoring": _MONITORING, "clients": [{"podSelector": {}}]},
    "metrics": {"podMonitor": {"enabled": True, "labels": {"release": "p"}}, "dashboard": {"enabled": True}},
}

#: Name -> values.
SETS: dict[str, Values] = {
    "default": {},
    "sidecar": {"extproc": {"placement": "Sidecar"}, "networkPolicy": {"monitoring": _MONITORING}},
    "envoy-gateway": {
        "gateway": {"mode": "EnvoyGateway", "envoyGateway": {"referenceGrant": {"namespaces": ["team-a"]}}}
    },
    "namespaced": {"operator": {"namespaces": ["team-a", "team-b"]}, "rbac": {"secrets": "None"}},
    "patterns": {"operator": {"namespaces": ["team-*"]}},
    "tls": {"envoy": {"http": {"enabled": False}, "tls": {"enabled": True, "secretName": "certificate"}}},
    "everything": EVERYTHING,
}
