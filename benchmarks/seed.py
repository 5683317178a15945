"""The plain Flask way, as Flask-Dropzone's documentation shows it: what the others are compared with."""

import os

from flask import Flask, request

app = Flask(__name__)


@app.post("/upload")
def upload() -> tuple[str, int]:
    for key, f in request.files.items():
        if key.startswith("file"):
            f.save(os.path.join("uploads", f.filename or ""))
    return "", 201
