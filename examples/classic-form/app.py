"""The classic form: one picture, four checks, and no script needed."""

from flask import Flask, Response, render_template

from dropzone_app import Uploads, UploadSet

images = UploadSet("images", ["jpg", "jpeg", "png"], max_file_size="0.5 MiB")

app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="for this example only", DROPZONE_INPUT_NAME="image")
uploads = Uploads(app, images)  # brings POST /upload


@app.get("/upload")
def form() -> str:
    return render_template("index.html", limit=images.max_file_size)


@app.after_request
def protect(response: Response) -> Response:
    policy = "default-src 'self'; form-action 'self'; frame-ancestors 'none'"
    response.headers.setdefault("Content-Security-Policy", policy)
    return response
