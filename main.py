"""The ASGI application for ``uvicorn main:app``: doors, workers, watchers and scans in one process."""

from s3_to_milvus.web.app import create_app

app = create_app()
