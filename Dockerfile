# Relay's one image: server, worker and command line.   docker build -t relay .
#
# The dashboard's built files are part of relay_server, so no Node.js is needed here. Everything that is installed is
# named by version and hash in requirements/. Your handlers go on top:
#
#     FROM relay
#     COPY myapp /app/myapp
#     CMD ["relay-worker", "myapp.jobs:jobs", "--queue", "emails"]
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG SOURCE=/src
ARG PREFIX=/opt/relay
# For builders behind a mirror: --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR ${SOURCE}

# What changes seldom comes first: a change of ours reuses these layers. The image's environment gets no pip of its own.
COPY requirements/build.txt requirements/image.txt requirements/
RUN python3 -m venv .build \
 && python3 -m venv --without-pip "$PREFIX" \
 && .build/bin/pip install --require-hashes --no-deps --only-binary=:all: -r requirements/build.txt \
 && .build/bin/pip --python "$PREFIX/bin/python3" install --require-hashes --no-deps --only-binary=:all: \
      -r requirements/image.txt

COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY relay_server relay_server
COPY relay_worker relay_worker
COPY relay_cli relay_cli
RUN .build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir wheels ./clients/python . \
 && .build/bin/pip --python "$PREFIX/bin/python3" install --no-index --no-deps wheels/*.whl \
 && mkdir empty

FROM python:${PYTHON}-slim
ARG SOURCE=/src
ARG PREFIX=/opt/relay
LABEL org.opencontainers.image.title="Relay" \
      org.opencontainers.image.description="A distributed job queue: broker, worker and command line." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build ${PREFIX} ${PREFIX}
# Where the embedded Redis keeps jobs when the server is given no other: mount a volume there. Nothing else is written
# but temporary files, so the root file system may be read-only with a tmpfs at /tmp.
COPY --from=build --chown=10001:10001 ${SOURCE}/empty /var/lib/relay
ENV PATH=${PREFIX}/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RELAY_DATA_DIR=/var/lib/relay \
    RELAY_LOG_FORMAT=json \
    RELAY_WORKER_LOG_FORMAT=json
# relay-worker finds modules in the folder it runs in.
WORKDIR /app
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 50051 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 CMD ["relay-server", "healthcheck"]
# Listens on loopback, inside the container, until --listen and --http say more; see docs/operations.md.
CMD ["relay-server"]
