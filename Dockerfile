# Two images from one file: docker build --target controller . and docker build --target extproc .
# The lock files are honoured to the hash; equal arguments and an equal base give equal labels and equal files.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The tools that make a wheel, in an environment that no image gets.
COPY locks/build.txt locks/
RUN python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --require-hashes -r locks/build.txt
COPY pyproject.toml README.md LICENSE ./

# Each target has its own set of dependencies, and sees no more of the source than it ships.
FROM build AS build-controller
COPY locks/controller.txt locks/
RUN python -m venv --without-pip /opt/llmroute \
 && python -m pip --python /opt/llmroute install --no-compile --require-hashes --no-deps -r locks/controller.txt
COPY extproc/ extproc/
COPY controller/ controller/
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/llmroute install --no-compile --no-deps --no-index dist/*.whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/llmroute/lib

FROM build AS build-extproc
COPY locks/extproc.txt locks/
RUN python -m venv --without-pip /opt/llmroute \
 && python -m pip --python /opt/llmroute install --no-compile --require-hashes --no-deps -r locks/extproc.txt
COPY extproc/ extproc/
# The wheel's command is the controller's.
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/llmroute install --no-compile --no-deps --no-index dist/*.whl \
 && rm /opt/llmroute/bin/llmroute \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/llmroute/lib

# The base without its pip. Bytecode is in the image, because the root is read-only where it runs.
FROM ${BASE} AS runtime
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|lib2to3|idlelib|turtledemo)/' /usr/local/lib/python3*
ENV PATH=/opt/llmroute/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532

FROM runtime AS controller
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=
LABEL org.opencontainers.image.title="llmroute-controller" \
      org.opencontainers.image.description="LLMRoute's operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build-controller /opt/llmroute /opt/llmroute
ENTRYPOINT ["python", "-m", "controller"]
CMD ["operator"]

FROM runtime AS extproc
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=
LABEL org.opencontainers.image.title="llmroute-extproc" \
      org.opencontainers.image.description="LLMRoute's external processor for Envoy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build-extproc /opt/llmroute /opt/llmroute
ENTRYPOINT ["python", "-m", "extproc"]
CMD ["--config", "/etc/llmroute/config/config.yaml", "--credentials", "/etc/llmroute/credentials"]
