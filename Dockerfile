# The service on port 8510. Data (ledger, Milvus Lite, the local model's graph) lies in /data; everything else may be
# read-only: docker run --read-only --tmpfs /tmp -v s2m:/data -p 127.0.0.1:8510:8510 …
FROM python:3.11-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --no-install-project
COPY s3_to_milvus ./s3_to_milvus
COPY main.py ./
RUN uv sync --locked --no-dev --no-editable

FROM python:3.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tesseract-ocr-kor tesseract-ocr-eng \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin s2m \
 && install --directory --owner=s2m --group=s2m --mode=0700 /data
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 S2M_DATA_DIR=/data S2M_HOST=0.0.0.0
WORKDIR /app
# By number: Kubernetes can see that it is not root.
USER 10001
VOLUME /data
EXPOSE 8510
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=4 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8510/readyz', timeout=4)"]
CMD ["s3-to-milvus", "serve"]
