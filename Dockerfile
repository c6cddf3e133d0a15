# One image for every process of the pipeline: `pipeline gateway`, `pipeline bridge`, `pipeline serve`, `pipeline receiver`.
#   docker build -t event-pipeline .
#   docker build -t event-pipeline:embedded --build-arg EXTRAS=embedded .     with a broker inside:
#   docker run --rm -p 127.0.0.1:8080:8080 -e PIPELINE_GATEWAY_HOST=0.0.0.0 -e PIPELINE_GATEWAY_ALLOW_REMOTE=true \
#     -v pipeline-dev:/var/lib/pipeline event-pipeline:embedded pipeline dev
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
# The hot path compiled: a third less CPU per delivery of what is Python in it.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV HATCH_BUILD_HOOK_ENABLE_MYPYC=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY pipeline ./pipeline
ARG EXTRAS=
# The locked versions, as constraints: what the tests ran with, of what builds too (newer pips read its own variable for
# that). Hashes cannot go along with a local project.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_BUILD_CONSTRAINT=/src/constraints.txt
RUN sed -n 's/^\([A-Za-z0-9_.-]*==[^ ;]*\).*/\1/p' requirements-dev.txt > constraints.txt \
 && pip install --no-cache-dir --prefix=/install ".${EXTRAS:+[${EXTRAS}]}"

FROM python:${PYTHON}-slim
COPY --from=build /install /usr/local
# /app: pipeline.toml and the declarations. /var/lib/pipeline: what must outlast a container (the sealing key, what was
# fetched, and the log of `pipeline dev`, which has it in .pipeline).
WORKDIR /app
COPY topics ./topics
COPY schemas ./schemas
RUN useradd --system --uid 10001 --home-dir /var/lib/pipeline --create-home pipeline \
 && mkdir -p subscriptions && ln -s /var/lib/pipeline .pipeline && chmod 750 /var/lib/pipeline
USER pipeline
VOLUME /var/lib/pipeline
ENV PYTHONUNBUFFERED=1 \
    PIPELINE_CACHE_DIR=/var/lib/pipeline/cache \
    PIPELINE_SECRETS_KEY_FILE=/var/lib/pipeline/secret.key
EXPOSE 8080
# SIGTERM drains: what is in flight is finished, offsets are committed.
STOPSIGNAL SIGTERM
CMD ["pipeline", "serve"]
