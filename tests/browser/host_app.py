"""A host app with looks of its own, and two zones of ours on one page."""

import sys

from flask import Flask, render_template_string

from dropzone_app import IMAGES, TEXT, Uploads, UploadSet

PAGE = """<!doctype html><html lang="en"><title>Host</title>
<link rel="stylesheet" href="/static/host.css">
<h1>Our own page</h1><p>Some words and <a href="#">a link</a>.</p>
<ul><li>One</li></ul><form><button>Ours</button><input name="q" aria-label="Search"></form>
{% if zones %}{{ uploads.zone("photos") }}{{ uploads.zone("notes") }}{% endif %}
"""

app = Flask(__name__, static_folder=None)
app.config["SECRET_KEY"] = "only a test"
Uploads(app, UploadSet("photos", IMAGES, max_files=2), UploadSet("notes", TEXT), url_prefix="/in")


@app.get("/static/host.css")
def css() -> tuple[str, dict[str, str]]:
    looks = "body { font: 15px Georgia, serif; color: #321 } button { color: #a00 } p { margin: 2em }"
    return looks, {"Content-Type": "text/css"}


@app.get("/")
def page() -> str:
    return render_template_string(PAGE, zones=True)


@app.get("/without")
def without() -> str:
    return render_template_string(PAGE, zones=False)


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
