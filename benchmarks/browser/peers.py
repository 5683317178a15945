"""The pages beside ours, and a view that counts what it gets and throws it away: faster than any that stores."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from flask import Flask, render_template, request, send_from_directory
from flask_dropzone import Dropzone

HERE = Path(__file__).parent
app = Flask(__name__, template_folder=str(HERE / "pages"), static_folder=None, static_url_path="/static")
app.config.update(
    MAX_FORM_PARTS=1_000_000,
    # As in Flask-Dropzone's example of parallel uploads, its limits lifted.
    DROPZONE_SERVE_LOCAL=True,
    DROPZONE_UPLOAD_MULTIPLE=True,
    DROPZONE_PARALLEL_UPLOADS=3,
    DROPZONE_MAX_FILE_SIZE=1024,
    DROPZONE_ALLOWED_FILE_CUSTOM=True,
    DROPZONE_ALLOWED_FILE_TYPE="",
)
Dropzone(app)
lock = threading.Lock()
counted = {"requests": 0, "files": 0, "bytes": 0}


@app.get("/<any('flask-dropzone', 'dropzone', 'uppy', 'empty'):page>")
def show(page: str) -> str:
    return render_template(f"{page}.html", bundle="bundle" in request.args)


@app.get("/dist/<path:name>")
def dist(name: str) -> Any:
    return send_from_directory(HERE / "dist", name)


@app.get("/favicon.ico")
def favicon() -> tuple[str, int]:
    return "", 204


@app.post("/upload")
def upload() -> dict[str, int]:
    files = size = 0
    for parts in request.files.listvalues():
        for part in parts:
            files += 1
            while piece := part.stream.read(1 << 18):
                size += len(piece)
    with lock:
        counted["requests"] += 1
        counted["files"] += files
        counted["bytes"] += size
    return {"stored": files}


@app.get("/counted")
def count() -> dict[str, int]:
    """What came since this was asked last."""
    with lock:
        came = dict(counted)
        counted.update(requests=0, files=0, bytes=0)
    return came
