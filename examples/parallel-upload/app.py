"""Parallel uploads with stock Dropzone: three files a request, and a verdict for every one of them."""

import secrets

from flask import Flask, Response, g, render_template

from dropzone_app import IMAGES, Uploads, UploadSet

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY="for this example only",
    DROPZONE_UPLOAD_MULTIPLE=True,  # several files in one request: file[0], file[1], …
    DROPZONE_PARALLEL_UPLOADS=3,  # three of them at most
    DROPZONE_ENABLE_CSRF=True,
    DROPZONE_MAX_FILE_SIZE=10,  # MiB, what the browser refuses by itself
)
uploads = Uploads(app, UploadSet("photos", IMAGES, max_file_size="10 MiB"))  # brings POST /upload


@app.get("/upload")
def index() -> str:
    g.nonce = secrets.token_urlsafe(16)
    return render_template("index.html")


@app.after_request
def protect(response: Response) -> Response:
    if "nonce" in g:
        policy = f"default-src 'self'; img-src 'self' data:; script-src 'self' 'nonce-{g.nonce}'"
        response.headers["Content-Security-Policy"] = policy
    return response
