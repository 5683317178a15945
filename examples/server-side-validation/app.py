"""Server-side validation: a check of one's own, whose sentence is shown on the thumbnail."""

from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect

from dropzone_app import ALL, Part, Rejected, Uploads, UploadSet


def png_only(part: Part) -> None:
    if part.extension != "png":
        raise Rejected("PNG only!")


pictures = UploadSet("pictures", ALL, max_file_size="10 MB", checks=[png_only])

app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="for this example only")
csrf = CSRFProtect(app)
uploads = Uploads(app, pictures)


@app.route("/", methods=["GET", "POST"])
def upload() -> ResponseReturnValue:
    if request.method == "POST":
        return pictures.receive(request, field="file").response()
    return render_template("index.html")


csrf.exempt(upload)  # receive() looks at the token itself, before it takes a byte of a file


@app.after_request
def protect(response: Response) -> Response:
    policy = "default-src 'self'; img-src 'self' data: blob:; form-action 'self'; frame-ancestors 'none'"
    response.headers.setdefault("Content-Security-Policy", policy)
    return response
