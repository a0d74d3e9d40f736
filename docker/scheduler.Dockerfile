# The control plane: scheduler, fleet, command line and Flower. Build it in the project's folder:
#   docker build --file docker/scheduler.Dockerfile --tag trackfarm-scheduler .
# A newer base: `docker buildx imagetools inspect python:3.11-slim-bookworm` names its digest.
ARG BASE=docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# hadolint ignore=DL3006
FROM ${BASE} AS wheel
WORKDIR /src
COPY docker/build.lock docker/build.lock
RUN python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes --requirement docker/build.lock
COPY . .
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# hadolint ignore=DL3006
FROM ${BASE} AS environment
COPY docker/scheduler.lock /scheduler.lock
RUN python3 -m venv /opt/trackfarm \
 && /opt/trackfarm/bin/pip install --no-cache-dir --require-hashes --requirement /scheduler.lock
COPY --from=wheel /wheels /wheels
RUN /opt/trackfarm/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && /opt/trackfarm/bin/pip check

# hadolint ignore=DL3006
FROM ${BASE}
# Debian keeps only the newest build of a package, so no version can be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /data --create-home trackfarm
COPY --from=environment /opt/trackfarm /opt/trackfarm
COPY --chmod=0755 docker/answers.py /usr/local/bin/answers
ENV PATH=/opt/trackfarm/bin:$PATH HOME=/data PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["answers"]
ENTRYPOINT ["tini", "--"]
CMD ["trackfarm-scheduler"]
