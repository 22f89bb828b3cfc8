"""An upstream by address: where it is, how its TLS is checked, and the proxy on the way."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StrictStr

from controller.api.secrets import SecretRef, WholeSecretRef
from controller.api.shape import ENDPOINT_PATTERN, NAME_PATTERN, Part, cel

TLS_IS_OFF = "with enabled: false there is no TLS that the other fields could be about"
NOTHING_IS_CHECKED = "insecureSkipVerify and caCertificateRef exclude each other: the one checks nothing, the other how"


class AuthorityRef(SecretRef):
    """One key of a ConfigMap or Secret with certificates of authorities, in PEM."""

    kind: Annotated[
        Literal["ConfigMap", "Secret"], Field(description="ConfigMap or Secret; the usual key is ca.crt in both.")
    ] = "ConfigMap"


class CertificateRef(WholeSecretRef):
    """A Secret of type kubernetes.io/tls."""


class EndpointTls(Part):
    """TLS towards an endpoint."""

    enabled: Annotated[
        StrictBool, Field(description="Whether to use TLS. An empty tls object turns it on whatever the port.")
    ] = True
    sni: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="The name that is asked for, and that the certificate must be for, instead of the hostname.",
        ),
    ] = None
    ca_certificate_ref: Annotated[
        AuthorityRef | None,
        Field(description="The authorities that the certificate is checked against, instead of the system's."),
    ] = None
    client_certificate_ref: Annotated[
        CertificateRef | None,
        Field(description="The certificate and key that are shown to the upstream (mutual TLS): tls.crt and tls.key."),
    ] = None
    insecure_skip_verify: Annotated[
        StrictBool,
        Field(
            description="Whether any certificate is taken. Whoever is on the way then reads requests, keys and answers."
        ),
    ] = False

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.enabled || !(has(self.sni) || self.insecureSkipVerify)", TLS_IS_OFF),
            ("self.enabled || !(has(self.caCertificateRef) || has(self.clientCertificateRef))", TLS_IS_OFF),
            ("!(self.insecureSkipVerify && has(self.caCertificateRef))", NOTHING_IS_CHECKED),
        )
    )


class Proxy(Part):
    """An HTTP proxy that connections are made through, by CONNECT."""

    hostname: Annotated[
        StrictStr,
        Field(min_length=1, max_length=253, pattern=ENDPOINT_PATTERN, description="Its DNS name or IP address."),
    ]
    port: Annotated[StrictInt, Field(ge=1, le=65535, description="Its port.")] = 3128


class Endpoint(Part):
    """An upstream by address."""

    hostname: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=253,
            pattern=ENDPOINT_PATTERN,
            description="The DNS name or IP address. It is sent as the Host header and, with TLS, as SNI, and the "
            "certificate must be for it.",
        ),
    ]
    port: Annotated[StrictInt, Field(ge=1, le=65535, description="The port.")] = 443
    tls: Annotated[
        EndpointTls | None,
        Field(description="TLS towards the endpoint. Nothing: on for port 443 and off for all others."),
    ] = None
    proxy: Annotated[
        Proxy | None,
        Field(
            description="The HTTP proxy on the way out of the network. It resolves the hostname, and sees no more than "
            "that where there is TLS."
        ),
    ] = None

    @property
    def uses_tls(self) -> bool:
        """Whether TLS is spoken, by the object or else by the port."""
        return self.port == 443 if self.tls is None else self.tls.enabled
