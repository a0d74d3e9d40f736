# One worker for one GPU. Build it in the project's folder:
#   docker build --file docker/worker.Dockerfile --tag trackfarm-worker .
# The base has Python 3.11 or 3.12 as a package; CUDA itself comes with torch, from the lock.
# A newer base: `docker buildx imagetools inspect nvidia/cuda:TAG` names its digest.
ARG BASE=docker.io/nvidia/cuda:13.0.2-base-ubuntu24.04@sha256:2ab6381d970b211fb93853796dc6707eb8a72575a375c422b17cf4d8b2641701

# hadolint ignore=DL3006
FROM ${BASE} AS python
# Ubuntu keeps only the newest build of a package, so no version can be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv tini \
 && rm -rf /var/lib/apt/lists/*

FROM python AS wheel
WORKDIR /src
COPY docker/build.lock docker/build.lock
RUN python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes --requirement docker/build.lock
COPY . .
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python AS environment
# DEVICE=cpu leaves CUDA out. CPU_TORCH, a page or folder of wheels, then has torch without CUDA. That
# one wheel is not verified by a hash.
ARG DEVICE=cuda
ARG CPU_TORCH=https://download.pytorch.org/whl/cpu/torch/
COPY docker/worker.lock docker/install_worker /install/
COPY --from=wheel /wheels /wheels
RUN PIP_NO_CACHE_DIR=1 /install/install_worker lean /opt/trackfarm /install/worker.lock /wheels/*.whl
# A separate layer, because it has gigabytes.
# hadolint ignore=DL3059
RUN PIP_NO_CACHE_DIR=1 DEVICE="${DEVICE}" CPU_TORCH="${CPU_TORCH}" \
    /install/install_worker torch /opt/trackfarm /install/worker.lock

FROM python
ARG DEVICE=cuda
RUN useradd --uid 10001 --user-group --home-dir /data --create-home trackfarm \
 && install --directory --owner=10001 --group=10001 /models
COPY --from=environment /opt/trackfarm /opt/trackfarm
COPY --chmod=0755 docker/works.py /usr/local/bin/works
ENV PATH=/opt/trackfarm/bin:$PATH \
    HOME=/data \
    PYTHONUNBUFFERED=1 \
    TRACKFARM_MODELS=/models \
    TRACKFARM_WORKER_DATA_DIR=/data/worker \
    TRACKFARM_WORKER_DEVICE=${DEVICE}
USER 10001:10001
WORKDIR /data
# /models keeps the weights between containers, /data the undelivered results.
VOLUME ["/models", "/data"]
# A model of 10 GB is pulled and loaded before the engine is ready.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30m CMD ["works"]
# SIGTERM drains: leave it 15 s (`docker stop --time 15`).
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "trackfarm-worker"]
