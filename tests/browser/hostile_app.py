"""A host app whose storage holds every hostile file, however it came in, and that serves each in two ways."""

import mimetypes
import sys

from browser.hostile import CORPUS
from flask import Flask, Response, jsonify

from dropzone_app import ALL, DATA, DOCUMENTS, IMAGES, TEXT, Uploads, UploadSet
from dropzone_app.kinds import kind_of
from dropzone_app.naming import extension_of
from dropzone_app.records.records import Record, new_id, now
from dropzone_app.uploads import Site

app = Flask(__name__, static_folder=None)
app.config["SECRET_KEY"] = "only a test"
known = (*IMAGES, *DOCUMENTS, *TEXT, *DATA, "svg")
Uploads(app, UploadSet("anything", ALL, public=True), UploadSet("known", known, public=True))


def put(site: Site, name: str, content: bytes) -> str:
    """Store a file without a check; its URL."""
    kind = kind_of(extension_of(name))
    staged = site.storage.stage()
    staged.write(content)
    with staged.open() as file:
        inert = kind.inert and kind.inert(file)
    record = Record(
        id=new_id(),
        set="anything",
        owner="nobody",
        uuid=new_id(),
        filename=name,
        path="",
        key=new_id(),
        size=len(content),
        type=kind.media_type,
        sha256=None,
        created=now(),
        inert=inert,
    )
    site.records.reserve([record])
    site.storage.commit(staged, record.key)
    site.records.store([record.id])
    staged.close()
    return f"/files/{record.id}/{name}"


urls = {name: put(app.extensions["uploads"], name, content) for name, content in CORPUS.items()}


@app.get("/")
def index() -> str:
    return "<!doctype html><title>A page of the host's</title>"


@app.get("/corpus")
def corpus() -> Response:
    return jsonify({name: {"served": url, "bare": f"/bare/{name}"} for name, url in urls.items()})


@app.get("/bare/<name>")
def bare(name: str) -> Response:
    """As somebody serves uploads who has not thought of it."""
    return Response(CORPUS[name], mimetype=mimetypes.guess_type(name)[0] or "text/plain")


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
