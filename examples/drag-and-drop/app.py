"""Drag and drop: one file a request, ten files of 5 MB at a time, each named by the moment it came."""

from flask import Flask, Response, render_template

from dropzone_app import Uploads, UploadSet

files = UploadSet(
    "files",
    ["txt", "pdf", "png", "jpg", "jpeg", "gif"],
    max_file_size="5 MB",
    max_files=10,
    max_parts=1,
    naming="timestamp",
    folder="",
)

app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="for this example only")
uploads = Uploads(app, files)  # brings POST /upload


@app.get("/")
@app.get("/upload")
def index() -> str:
    return render_template("index.html")


@app.after_request
def protect(response: Response) -> Response:
    policy = "default-src 'self'; img-src 'self' data: blob:; form-action 'self'; frame-ancestors 'none'"
    response.headers.setdefault("Content-Security-Policy", policy)
    return response
