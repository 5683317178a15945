"""CSRF protection: an upload without a good token is refused, and the thumbnail says why."""

import secrets

from flask import Flask, Response, g, render_template
from flask_wtf.csrf import CSRFProtect

from dropzone_app import Uploads, UploadSet

app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="dev key", DROPZONE_ENABLE_CSRF=True)
app.config.from_prefixed_env()  # FLASK_WTF_CSRF_TIME_LIMIT=5 lets tokens expire while you watch
csrf = CSRFProtect(app)
uploads = Uploads(app, UploadSet("files", max_file_size="10 MB"))  # brings POST /upload


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
