"""Flask-Reuploaded, as its documentation shows it."""

import os

from flask import Flask, request
from flask_uploads import AllExcept, UploadSet, configure_uploads

app = Flask(__name__)
app.config["UPLOADED_FILES_DEST"] = os.environ["UPLOAD_DIR"]
files = UploadSet("files", AllExcept(()))
configure_uploads(app, files)


@app.post("/upload")
def upload() -> tuple[str, int]:
    for f in request.files.values():
        files.save(f)
    return "", 201
