"""A host app whose page has Uppy, and no script of ours: `PORT SCRIPT`."""

import sys
from pathlib import Path

from flask import Flask, Response, send_file
from flask import session as visit

from dropzone_app import IMAGES, Uploads, UploadSet

PAGE = """<!doctype html><html lang="en"><title>Uppy</title><link rel="icon" href="data:,">
<input type="file" multiple><pre id="log"></pre><script type="module" src="/uppy.js"></script>
"""

app = Flask(__name__)
app.config["SECRET_KEY"] = "only a test"
Uploads(app, UploadSet("files", [*IMAGES, "bin"], folder=""), owner=lambda: visit.get("name"))


@app.get("/")
def page() -> str:
    visit["name"] = "ann"
    return PAGE


@app.get("/uppy.js")
def script() -> Response:
    return send_file(Path(sys.argv[2]))


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
