"""Upload sets: photos that Flask serves by itself, sounds that only their owner hears, a folder for each user."""

import secrets

from flask import Flask, Response, abort, render_template, request, send_from_directory, session
from flask_wtf.csrf import CSRFProtect

from dropzone_app.reuploaded import AUDIO, IMAGES, UploadNotAllowed, UploadSet, configure_uploads

photos = UploadSet("photos", IMAGES, content=True)
media = UploadSet("media", AUDIO, lambda app: f"{app.instance_path}/media")


def create_app(**config: object) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="for this example only", MAX_CONTENT_LENGTH=20_000_000)
    app.config.update(UPLOADS_DEFAULT_DEST=f"{app.instance_path}/uploads", UPLOADS_AUTOSERVE=True)
    app.config.update({"UPLOADED_MEDIA_URL": "/media/", **config})
    configure_uploads(app, (photos, media))
    CSRFProtect(app)

    @app.route("/", methods=["GET", "POST"])
    def index() -> str:
        user, results = session.setdefault("user", secrets.token_hex(8)), []
        for uset, file in ((photos, request.files.get("photo")), (media, request.files.get("sound"))):
            if file:
                try:
                    results.append((file.filename, uset.url(uset.save(file, folder=user)), ""))
                except UploadNotAllowed as refusal:
                    results.append((file.filename, "", str(refusal)))
        return render_template("index.html", results=results)

    @app.get("/media/<user>/<name>")
    def sound(user: str, name: str) -> Response:
        if user != session.get("user"):
            abort(404)
        return send_from_directory(media.config.destination, f"{user}/{name}")

    return app
