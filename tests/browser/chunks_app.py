"""A host app whose pages run stock Dropzone in chunks against our endpoint, with nothing of our own script."""

import sys
from typing import Any

from flask import Flask, render_template_string, request, url_for

from dropzone_app import TEXT, Uploads, UploadSet

SCRIPTS = {
    # Flask-Dropzone's own, and ours.
    "5": ("dropzone.static", "dropzone.min.js"),
    "6": ("uploads.static", "vendor/dropzone/dropzone-min.js"),
}
PAGE = """<!doctype html><html lang="en"><title>Stock</title><link rel="icon" href="data:,">
<script src="{{ script }}"></script>
<form id="zone" class="dropzone" action="/upload"></form>
<script>
  Dropzone.autoDiscover = false;
  window.zone = new Dropzone("#zone", {
    chunking: true,
    retryChunks: true,
    retryChunksLimit: 3,
    maxFilesize: 100,
    chunkSize: 50000,
    parallelChunkUploads: {{ parallel|tojson }},
    forceChunking: {{ force|tojson }},
    headers: { "X-CSRFToken": {{ csrf_token()|tojson }} },
  });
</script>
"""

app = Flask(__name__)
app.config["SECRET_KEY"] = "only a test"
Uploads(app, UploadSet("files", [*TEXT, "bin"], folder=""))


@app.get("/<version>")
def page(version: str) -> Any:
    asked = {name: name in request.args for name in ("parallel", "force")}
    endpoint, filename = SCRIPTS[version]
    return render_template_string(PAGE, script=url_for(endpoint, filename=filename), **asked)


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
