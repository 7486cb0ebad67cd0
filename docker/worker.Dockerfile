ARG BASE=python:3.11-slim

# A worker on CPU: takes jobs from Redis and runs the models with onnxruntime.
#
#   docker build -f docker/worker.Dockerfile -t refstar-worker .
#   docker run -e REFSTAR_REDIS_URL=redis://... refstar-worker

FROM ${BASE} AS build
# Behind a proxy: the address of an index of packages, and the text of the certificates (PEM) that it is trusted by.
# Neither is in the final image. HTTP_PROXY, HTTPS_PROXY and NO_PROXY are arguments of every build.
ARG INDEX=
ARG CA_BUNDLE=
ENV PIP_INDEX_URL=${INDEX} \
    UV_DEFAULT_INDEX=${INDEX} \
    PIP_CERT=${CA_BUNDLE:+/build/ca.pem} \
    SSL_CERT_FILE=${CA_BUNDLE:+/build/ca.pem}
WORKDIR /build
RUN printf '%s\n' "${CA_BUNDLE}" > ca.pem
COPY hashes.txt ./
RUN python3 -m venv /opt/installer \
    && sed -n '/^uv==/,/[^\\]$/p' hashes.txt > uv.txt \
    && /opt/installer/bin/pip install --no-cache-dir --require-hashes -r uv.txt \
    && python3 -m venv --without-pip /opt/refstar
ENV UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    VIRTUAL_ENV=/opt/refstar
# The dependencies first: this layer lasts until a pin changes.
COPY service/pyproject.toml service/pyproject.toml
RUN /opt/installer/bin/uv pip install -c hashes.txt -r service/pyproject.toml --extra cpu --extra heic --extra s3 --extra tracing
COPY service service
RUN /opt/installer/bin/uv pip install --no-deps -b hashes.txt ./service
# 50 MB that nobody calls here: tests of numpy, OpenCV's cascades, onnxruntime's tools for training packages, and the
# descriptions of all services but those that objects and credentials come from.
WORKDIR /opt/refstar/lib
RUN rm -rf python3*/site-packages/cv2/data/*.xml \
        python3*/site-packages/onnxruntime/transformers \
        python3*/site-packages/onnxruntime/tools \
        python3*/site-packages/onnxruntime/quantization \
    && find python3*/site-packages/numpy -depth -type d -name tests -exec rm -rf {} + \
    && find python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} +

FROM ${BASE}
RUN groupadd --gid 10001 refstar \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin refstar \
    && install -d -o 10001 -g 10001 /var/lib/refstar
COPY --from=build /opt/refstar /opt/refstar
COPY LICENSE /usr/share/doc/refstar/LICENSE
ENV PATH=/opt/refstar/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    REFSTAR_DATA_DIR=/var/lib/refstar \
    ORT_DISABLE_TELEMETRY=1 \
    REFSTAR_WORKER_METRICS_HOST=0.0.0.0 \
    REFSTAR_WORKER_METRICS_PORT=9100
USER 10001:10001
WORKDIR /var/lib/refstar
EXPOSE 9100
# The long start is for loading the models and warming every batch size up.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 9100, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["refstar", "worker"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="RefSTAR worker (CPU)" \
      org.opencontainers.image.description="onnxruntime worker of RefSTAR Serve, reference-based face restoration" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
