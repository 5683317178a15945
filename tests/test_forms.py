"""A form of Flask-WTF with a field made from an upload set."""

from pathlib import Path

from flask import Flask, render_template_string, request
from flask_wtf import FlaskForm
from flask_wtf.file import FileRequired
from webclient import EXE, PDF, PNG, Visitor, encode
from werkzeug.wrappers import Response
from wtforms import StringField

from dropzone_app import IMAGES, Uploads, UploadSet
from dropzone_app.forms import UploadField

photos = UploadSet("photos", IMAGES, max_file_size="1 KB", max_parts=3)


class AlbumForm(FlaskForm):
    title = StringField("Title")
    photos = UploadField("Photos", photos, [FileRequired("Choose a photo.")])


def visitor(tmp_path: Path) -> Visitor:
    app = Flask("host", root_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="x",
        WTF_CSRF_ENABLED=False,
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=f"sqlite:///{tmp_path / 'app.sqlite'}",
    )
    Uploads(app, photos)

    @app.route("/album", methods=["GET", "POST"])
    def album() -> str | Response:
        form = AlbumForm()
        if form.validate_on_submit():
            return photos.receive(request, field="photos").response()
        return render_template_string("{{ form.photos() }}|{{ form.photos.errors | join('|') }}", form=form)

    return Visitor(app)


def test_the_field_accepts_what_the_set_accepts(tmp_path: Path) -> None:
    page = visitor(tmp_path).get("/album").text
    assert 'accept=".jpg,.jpeg' in page
    assert "multiple" in page


def test_good_files_are_stored_whole_after_validation(tmp_path: Path) -> None:
    answer = visitor(tmp_path).post(encode(("photos", "a.png", PNG), ("photos", "b.png", PNG)), "/album")
    assert [file["key"] for file in answer.get_json()["files"]] == ["photos/a.png", "photos/b.png"]
    assert (tmp_path / "uploads/photos/b.png").read_bytes() == PNG


def test_each_bad_file_has_the_servers_sentence(tmp_path: Path) -> None:
    body = encode(("photos", "a.png", PNG), ("photos", "b.png", PDF), ("photos", "c.exe", EXE))
    text = visitor(tmp_path).post(body, "/album").text
    assert "&#34;b.png&#34;: the file is named .png, but its content is a PDF" in text
    assert "&#34;c.exe&#34;: .exe files are not accepted here." in text
    assert not (tmp_path / "uploads/photos").exists()


def test_one_bad_file_is_told_by_its_sentence_alone(tmp_path: Path) -> None:
    text = visitor(tmp_path).post(encode(("photos", "a.png", PNG.ljust(2700))), "/album").text
    assert text.endswith("|The file is 2.7 KB; the limit is 1 KB.")


def test_too_many_files_are_told(tmp_path: Path) -> None:
    text = visitor(tmp_path).post(encode(*[("photos", f"{n}.png", PNG) for n in range(4)]), "/album").text
    assert "Too many files in one request: the limit is 3" in text


def test_an_empty_field_is_for_the_other_validators(tmp_path: Path) -> None:
    assert visitor(tmp_path).post(encode(("photos", "", b"")), "/album").text.endswith("|Choose a photo.")
