"""A host app whose `DROPZONE_…` keys come from the environment: a zone, a button, a form, a page for afterwards."""

import sys

from flask import Flask, render_template_string, request
from werkzeug.wrappers import Response

from dropzone_app import Uploads, UploadSet

PAGE = """<!doctype html><html lang="en"><title>Host</title>
{{ uploads.zone("photos") }}
{% if button %}<button id="{{ config.DROPZONE_UPLOAD_BTN_ID }}">Send them</button>{% endif %}
"""
FORM = """<!doctype html><html lang="en"><title>Form</title>
<form id="any form" action="/sent" method="post">
<input type="hidden" name="csrf_token" value="{{ csrf_token() }}">
<label>Title <input name="title" required></label>
{% for name in names %}{{ uploads.zone(name) }}{% endfor %}
<button {{ kind }} id="{{ config.DROPZONE_UPLOAD_BTN_ID }}" name="how" value="saved">Save</button>
<button name="how" value="draft">Keep as a draft</button>
</form>
"""

app = Flask(__name__, static_folder=None)
app.config.from_mapping(SECRET_KEY="only a test", UPLOADS_DURABLE=False)
app.config.from_prefixed_env("FLASK")
photos, notes = UploadSet("photos"), UploadSet("notes")
Uploads(app, photos, notes)


@app.get("/")
def page() -> str:
    return render_template_string(PAGE, button="without" not in request.args)


@app.get("/zone")
def zone() -> str:
    return render_template_string("<!doctype html>{{ uploads.zone('photos', action='/own') }}")


@app.get("/form")
def form() -> str:
    kind = "type=button" if "button" in request.args else ""
    return render_template_string(FORM, kind=kind, names=request.args.getlist("set") or ["photos"])


@app.post("/sent")
def sent() -> str:
    stored = sum(1 for _ in app.extensions["uploads"].records.everything())
    return f"{request.form['title']}, {request.form.get('how')}: {stored} files were stored before."


@app.post("/own")
def own() -> Response:
    return photos.receive(request).response()


@app.get("/done")
def done() -> str:
    return "All done."


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
