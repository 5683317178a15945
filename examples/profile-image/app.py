"""A profile image: its bytes go to the storage, its URL to the user, and the one before goes away."""

from flask import Flask, abort, render_template, request, session
from users import User, db, set_up

from dropzone_app import IMAGES, Uploads, UploadSet

photos = UploadSet("photos", IMAGES, max_file_size="5 MB", max_parts=1, public=True)
app = Flask(__name__)
app.config.from_mapping(SECRET_KEY="for this example only", SQLALCHEMY_DATABASE_URI="sqlite:///users.sqlite")
app.config.from_prefixed_env()  # FLASK_UPLOADS_STORAGE says where the bytes go
set_up(app)
Uploads(app, photos, owner=lambda: session.get("user_id"))


@app.route("/user/<int:user_id>/image", methods=["PUT", "POST"])
@photos.parses("profile_image")
def set_image(user_id):
    user = db.get_or_404(User, user_id, description="There is no such user.")
    if session.get("user_id") != user.id:
        abort(403, "Only its owner may change a profile image.")
    before = user.profile_image_id
    batch = photos.receive(request, field="profile_image")
    if batch.rejected or not (image := batch.verdicts[0].record):
        missing = batch.rejected and batch.rejected.code in {"empty_field", "no_file"}
        return abort(400, "Missing profile_image on the FormData") if missing else batch.response()
    try:
        user.profile_image_id, user.profile_image_url = image.id, photos.url(image)
        db.session.commit()
    except Exception:
        photos.delete(image.id if image.id != before else None)
        raise
    photos.delete(before if before != image.id else None)
    return user.serialize()


@app.get("/")
def index():
    return render_template("index.html", user=db.get_or_404(User, session.setdefault("user_id", 1)))
