"""A host app whose zones are made by a script of its own, from options or from next to nothing."""

import sys

from flask import Flask, render_template_string

from dropzone_app import IMAGES, Uploads, UploadSet

PAGE = """<!doctype html><html lang="en"><title>Scripted</title>
<meta name="csrf-token" content="{{ csrf_token() }}">
{{ uploads.assets() }}
<div id="one"></div><div id="two"></div>
<script type="module">
  import { BatchUploader } from "{{ url_for('uploads.static', filename='js/batchuploader.js') }}";
  window.one = new BatchUploader("#one", {{ uploads.options("photos")|tojson }});
  const url = "{{ url_for('uploads.upload', name='notes') }}";
  window.two = new BatchUploader(document.querySelector("#two"), { url });
</script>
"""

app = Flask(__name__, static_folder=None)
app.config["SECRET_KEY"] = "only a test"
Uploads(app, UploadSet("photos", IMAGES), UploadSet("notes", ["txt"]), url_prefix="/in")


@app.get("/")
def page() -> str:
    return render_template_string(PAGE)


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
