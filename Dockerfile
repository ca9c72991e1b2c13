# One image for the node, the client and the operator.
#
#   docker build -t rustqueue:dev .
#   docker run -p 6790:6790 -p 6789:6789 -v rustqueue-data:/data rustqueue:dev
#
# BASE_IMAGE is any image with glibc 2.28 or newer and a `python3` of 3.11 or newer that has its venv module. Where no
# registry can be reached, `make image` makes one from Debian packages and builds this very file with it.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
# Where pip finds packages on a closed network; it must not end up in the image.
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
ARG PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/rustqueue && mkdir data
COPY requirements/build.txt requirements/server.txt requirements/operator.txt requirements/
# All that goes into the image comes from the lock files, checked by hash. What has no wheel is built here, by tools that
# come from a lock file too and stay behind in this stage. Nobody may write into the image, so that the byte code is made
# now, and trusted instead of compared to its source.
RUN tools/bin/pip install --quiet --require-hashes -r requirements/build.txt \
 && tools/bin/pip wheel --quiet --require-hashes --no-build-isolation --wheel-dir wheels \
        -r requirements/server.txt -r requirements/operator.txt \
 && tools/bin/pip --python /opt/rustqueue install --quiet --no-deps --no-index --no-compile wheels/*.whl \
 && /opt/rustqueue/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/rustqueue/lib
COPY pyproject.toml README.md LICENSE ./
COPY rustqueue rustqueue
COPY operator operator
COPY .ci/sbom.py .ci/sbom.py
RUN tools/bin/pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir ours . \
 && tools/bin/pip --python /opt/rustqueue install --quiet --no-deps --no-index --no-compile ours/*.whl \
 && /opt/rustqueue/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/rustqueue/lib \
 && mkdir /opt/rustqueue/share \
 && /opt/rustqueue/bin/python .ci/sbom.py > /opt/rustqueue/share/sbom.cdx.json

FROM ${BASE_IMAGE}
COPY --from=build /opt/rustqueue /opt/rustqueue
COPY --from=build --chown=65532:65532 /build/data /data
ENV PATH=/opt/rustqueue/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 \
    RUSTQUEUE_STORAGE__PATH=/data
USER 65532:65532
VOLUME /data
EXPOSE 6790 6789
ENTRYPOINT ["rustqueue"]
CMD ["serve"]
