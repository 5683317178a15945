"""A host app that has a form of Flask-Dropzone's own, on its Dropzone 5, beside a zone of ours."""

import sys

from flask import Flask, render_template_string, request

from dropzone_app import Uploads, UploadSet

THEIRS = "{{ dropzone.create('theirs') }}"
LOAD = "{{ dropzone.load_js() }}"
CONFIG = "{{ dropzone.config(custom_options='dictDefaultMessage: `Theirs`', redirect_url='/theirs-done') }}"
OURS = "{{ uploads.zone('my_photos') }}"
#: In which order a page may have them.
ORDERS = {
    "ours-last": LOAD + THEIRS + CONFIG + OURS,
    "ours-first": OURS + THEIRS + LOAD + CONFIG,
    "ours-between": LOAD + OURS + THEIRS + CONFIG,
}

got: list[str | None] = []
app = Flask(__name__)
app.config.update(SECRET_KEY="only a test", UPLOADS_DURABLE=False, DROPZONE_SERVE_LOCAL=True)
uploads = Uploads(app, UploadSet("my_photos"))
app.extensions["csrf"].exempt("__main__.theirs")


@app.get("/<order>")
def page(order: str) -> str:
    head = "<!doctype html><html lang=en><title>Host</title>{{ dropzone.load_css() }}"
    return render_template_string(head + ORDERS[order])


@app.post("/theirs")
def theirs() -> str:
    got.append(request.files["file"].filename)
    return "thanks"


@app.get("/theirs-done")
def theirs_done() -> str:
    return f"Theirs is done: {got}"


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
