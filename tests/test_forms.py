"""A form of Flask-WTF with a field made from an upload set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core import database_url
from flask import Flask, jsonify, render_template_string, request
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFProtect
from flask_wtf.file import FileRequired, FileSize
from webclient import EXE, PDF, PNG, Item, Visitor, encode, hosting, stored_names
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response
from wtforms import StringField

from dropzone_app import IMAGES, VIDEO, SettingError, Uploads, UploadSet
from dropzone_app.forms import UploadField

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

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
        UPLOADS_DATABASE=database_url(tmp_path),
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


def test_a_field_wants_a_set_of_the_app(tmp_path: Path) -> None:
    def shown(upload_set: Any) -> str:
        form = type("Form", (FlaskForm,), {"files": UploadField("Files", upload_set)})
        return str(form().files())

    with visitor(tmp_path).app.test_request_context():
        assert "accept=" in shown(photos)
        for wrong in "photos", None, IMAGES:
            with pytest.raises(SettingError, match="takes the upload set itself; it got"):
                shown(wrong)
        # One of the same name is another set.
        for foreign in UploadSet("photos", IMAGES), UploadSet("videos", VIDEO):
            with pytest.raises(RuntimeError, match="is not one of this app's"):
                shown(foreign)


def test_an_empty_field_is_for_the_other_validators(tmp_path: Path) -> None:
    assert visitor(tmp_path).post(encode(("photos", "", b"")), "/album").text.endswith("|Choose a photo.")


# ---- a view whose forms are parsed by us


@pytest.fixture
def parsed(tmp_path: Path) -> Iterator[Visitor]:
    """A host whose CSRFProtect and FlaskForm both read the form before the files are received."""
    with hosting(tmp_path) as make:
        app = make()
        CSRFProtect(app)
        albums = UploadSet("albums", IMAGES, max_file_size="1 MB", max_parts=3)
        others = UploadSet("others", ["txt"])

        class Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF ships no types
            title = StringField("Title")
            pictures = UploadField(
                "Pictures", albums, [FileRequired("Choose a picture."), FileSize(10_000_000)]
            )

        @app.route("/album", methods=["GET", "POST"])
        @albums.parses("pictures")
        def album() -> str | Response:
            form = Form()
            if form.validate_on_submit():
                kinds = {type(file).__name__ for file in form.pictures.data}
                other = request.files.get("cover")
                received = albums.receive(request, field="pictures")
                return jsonify(
                    title=form.title.data,
                    keys=[verdict.record and verdict.record.key for verdict in received.verdicts],
                    kinds=sorted(kinds),
                    cover=other.read().decode() if other else None,
                )
            return "|".join(error for errors in form.errors.values() for error in errors)

        @app.post("/wrong")
        @albums.parses()
        def wrong() -> Response:
            return others.receive(request).response()

        @app.post("/chunks")
        @albums.parses("pictures")
        def chunks() -> Response:
            return albums.receive(request, field="pictures").response()

        @app.errorhandler(HTTPException)
        def page(error: HTTPException) -> tuple[str, int]:
            return f"The host's page: {error.description}", error.code or 500

        Uploads(app, albums, others)
        yield Visitor(app)


def send(parsed: Visitor, *items: Item, path: str = "/album") -> TestResponse:
    return parsed.post(encode(("csrf_token", parsed.token()), *items), path)


def test_good_files_are_staged_while_they_arrive_whoever_reads_the_form(
    parsed: Visitor, tmp_path: Path
) -> None:
    answer = send(
        parsed,
        ("title", "Day " + "1" * 100_000),
        ("cover", "c.exe", b"for the view"),
        ("pictures", "a.png", PNG),
    )
    assert answer.get_json() == {
        "title": "Day " + "1" * 100_000,
        "keys": ["albums/a.png"],
        "kinds": ["Part"],
        "cover": "for the view",
    }
    assert (tmp_path / "uploads/albums/a.png").read_bytes() == PNG


@pytest.mark.parametrize("blocks", [1, 2])
def test_every_byte_arrives_of_bodies_that_werkzeug_takes_for_longer(
    parsed: Visitor, tmp_path: Path, blocks: int
) -> None:
    token = ("csrf_token", parsed.token())
    fill = (65_536 * blocks + 3 - len(encode(token, ("pictures", "a.png", PNG)))) % 65_536
    body = encode(token, ("pictures", "a.png", PNG + b"p" * fill))
    assert len(body) % 65_536 == 3
    assert parsed.post(body, "/album").get_json()["keys"] == ["albums/a.png"]
    assert (tmp_path / "uploads/albums/a.png").read_bytes() == PNG + b"p" * fill


def test_bad_files_have_their_sentences_and_leave_nothing(parsed: Visitor, tmp_path: Path) -> None:
    answer = send(parsed, ("pictures", "a.png", PNG), ("pictures", "b.png", PDF))
    assert answer.text.startswith('"b.png": the file is named .png, but its content is a PDF')
    assert stored_names(tmp_path) == []
    assert send(parsed, ("title", "x")).text == "Choose a picture."


def test_a_request_that_cannot_be_used_is_the_hosts_to_answer(parsed: Visitor, tmp_path: Path) -> None:
    answer = send(parsed, *(("pictures", f"{n}.png", PNG) for n in range(4)))
    assert answer.status_code == 413
    assert answer.text.startswith("The host's page: Too many files in one request: the limit is 3")
    body = encode(("csrf_token", parsed.token()), ("pictures", "a.png", PNG))
    answer = parsed.post(body[:-40], "/album")
    assert (answer.status_code, answer.text[:38]) == (400, "The host's page: The upload was cut of")
    assert parsed.post(encode(("pictures", "a.png", PNG)), "/album").status_code == 400
    assert stored_names(tmp_path) == []


def test_other_forms_of_the_view_are_werkzeugs(parsed: Visitor) -> None:
    form = {"csrf_token": parsed.token(), "title": "x"}
    assert parsed.client.post("/album", data=form).text == "Choose a picture."
    assert parsed.get("/album").status_code == 200


def test_a_part_is_no_part_of_another_set(parsed: Visitor, tmp_path: Path) -> None:
    answer = send(parsed, ("pictures", "a.png", PNG), path="/wrong")
    assert (answer.status_code, "host's page" in answer.text) == (500, True)
    assert stored_names(tmp_path) == []


def test_a_chunk_that_the_host_reads_first_counts_all_the_same(parsed: Visitor, tmp_path: Path) -> None:
    data = PNG.ljust(600)
    for index, start in enumerate((0, 400)):
        fields = {"dzuuid": "u", "dzchunkindex": index, "dztotalfilesize": len(data), "dzchunksize": 400}
        fields |= {"dztotalchunkcount": 2, "dzchunkbyteoffset": start}
        items = [(name, str(value)) for name, value in fields.items()]
        answer = send(parsed, *items, ("pictures", "a.png", data[start : start + 400]), path="/chunks")
        assert answer.status_code == 202 - index, answer.text
    assert (tmp_path / "uploads/albums/a.png").read_bytes() == data
