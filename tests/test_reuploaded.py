"""Flask-Reuploaded's names over our upload sets: what its documentation promises, and what is better here."""

import errno
import os
import subprocess
import sys
import threading
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from core import SAMPLES, make_app
from corpus.formats import pdf
from corpus.pdfs import live
from flask import Flask, url_for
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage

import dropzone_app
from dropzone_app import Rejected, SettingError, reuploaded
from dropzone_app.reuploaded import (
    ALL,
    DEFAULTS,
    IMAGES,
    SCRIPTS,
    AllExcept,
    TestingFileStorage,
    UploadConfiguration,
    UploadNotAllowed,
    UploadSet,
    addslash,
    config_for_set,
    configure_uploads,
    extension,
    lowercase_ext,
)
from dropzone_app.storage import staged

PNG = SAMPLES["png"]


def upload(filename="image.jpg", content=b"content"):
    return FileStorage(BytesIO(content), filename)


def set_in(folder, *arguments, durable=False, **options):
    """An upload set that saves to `folder` without an app."""
    uset = UploadSet(*(arguments or ("files", ALL)), **options)
    uset._config = UploadConfiguration(str(folder))
    uset._config.durable = durable
    return uset


def app_with(*sets, **config):
    app = Flask("host")
    app.config.update(config)
    configure_uploads(app, sets)
    return app


def found_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---- names


def test_all_their_names_are_here():
    assert set(reuploaded.__all__) == {
        *("TestingFileStorage", "UploadConfiguration", "UploadSet", "UploadNotAllowed"),
        *("addslash", "configure_uploads", "config_for_set", "extension", "lowercase_ext"),
        *("ALL", "AllExcept", "TEXT", "DOCUMENTS", "IMAGES", "AUDIO", "DATA", "SCRIPTS", "ARCHIVES"),
        *("SOURCE", "EXECUTABLES", "DEFAULTS"),
    }
    assert all(hasattr(reuploaded, name) for name in reuploaded.__all__)


def test_their_pictures_hold_svg_and_ours_do_not():
    assert "svg" in IMAGES
    assert "svg" not in dropzone_app.IMAGES
    assert DEFAULTS == reuploaded.TEXT + reuploaded.DOCUMENTS + IMAGES + reuploaded.DATA


@pytest.mark.parametrize(
    ("filename", "ext", "lowered"),
    [
        ("PHOTO.JPG", "JPG", "PHOTO.jpg"),
        ("ARCHIVE.TAR.GZ", "GZ", "ARCHIVE.TAR.gz"),
        ("FOO", "", "FOO"),
        (".Profile", "", ".Profile"),
        ("写真.JPG", "JPG", "写真.jpg"),
    ],
)
def test_extensions_are_read_and_lowered(filename, ext, lowered):
    assert (extension(filename), lowercase_ext(filename)) == (ext, lowered)


def test_a_slash_is_added_once():
    assert addslash("http://x/a") == addslash("http://x/a/") == "http://x/a/"


# ---- declaring and configuring


def test_a_set_is_called_files_and_takes_the_default_kinds():
    uset = UploadSet()
    assert (uset.name, uset.extensions) == ("files", DEFAULTS)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (("my_photos",), {}, "must be letters and digits; it is 'my_photos'"),
        (("",), {}, "must be letters and digits"),
        ((5,), {}, "must be letters and digits; it is 5"),
        (("check",), {}, "'check'"),
        (("photos", IMAGES, "/uploads"), {}, "default_dest must be a function of the app; it is '/uploads'"),
        (("photos", 7), {}, "extensions must be extensions"),
        (("photos", [None]), {}, "extensions must be extensions"),
        (("photos", None), {}, "extensions must be extensions"),
        (("photos", ("a/b",)), {}, "extensions must be extensions"),
        (("photos", IMAGES), {"max_file_size": "big"}, "max_file_size must be a size"),
        (("photos", IMAGES), {"checks": ["png only"]}, "checks must be functions"),
    ],
)
def test_a_wrong_declaration_is_a_value_error_with_a_sentence(arguments, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        UploadSet(*arguments, **options)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"UPLOADED_PHOTOS_DEST": 5}, "UPLOADED_PHOTOS_DEST must be a folder; it is 5"),
        ({"UPLOADED_PHOTOS_DEST": ""}, "UPLOADED_PHOTOS_DEST must be a folder; it is ''"),
        ({"UPLOADS_DEFAULT_DEST": True}, "UPLOADS_DEFAULT_DEST must be a folder; it is True"),
        ({"UPLOADED_PHOTOS_URL": 5}, "UPLOADED_PHOTOS_URL must be a URL"),
        ({"UPLOADS_DEFAULT_DEST": "/x", "UPLOADS_DEFAULT_URL": 5}, "UPLOADS_DEFAULT_URL must be a URL"),
        ({"UPLOADED_PHOTOS_ALLOW": "a/b"}, "UPLOADED_PHOTOS_ALLOW must be extensions"),
        ({"UPLOADED_PHOTOS_DENY": 5}, "UPLOADED_PHOTOS_DENY must be extensions"),
        ({"UPLOADED_PHOTOS_MAX_FILE_SIZE": "big"}, "UPLOADED_PHOTOS_MAX_FILE_SIZE must be a size"),
        ({"UPLOADS_AUTOSERVE": "perhaps"}, "UPLOADS_AUTOSERVE must be true or false"),
        ({"UPLOADS_DURABLE": "perhaps"}, "UPLOADS_DURABLE must be true or false"),
    ],
)
def test_a_wrong_setting_stops_with_a_sentence_and_changes_nothing(config, sentence):
    app = Flask("host")
    app.config.update({"UPLOADED_PHOTOS_DEST": "/x"} if "UPLOADS_DEFAULT_DEST" not in config else {})
    app.config.update(config)
    with pytest.raises(SettingError, match=sentence):
        configure_uploads(app, UploadSet("photos"))
    assert not hasattr(app, "upload_set_config")


def test_what_default_dest_returns_must_be_a_folder():
    with pytest.raises(
        SettingError, match="What default_dest of the upload set 'photos' returns must be a folder"
    ):
        app_with(UploadSet("photos", IMAGES, lambda app: 5))


@pytest.mark.parametrize("wrong", [None, "photos", 5, ["photos"]])
def test_what_is_no_set_cannot_be_configured(wrong):
    with pytest.raises(SettingError, match=r"it got (None|'photos'|5)"):
        configure_uploads(Flask("app"), wrong)


def test_the_app_comes_first():
    with pytest.raises(SettingError, match="takes the Flask app first"):
        configure_uploads(UploadSet("photos"), Flask("app"))


def test_a_set_of_another_make_cannot_be_configured():
    with pytest.raises(SettingError, match="takes the UploadSet of dropzone_app"):
        configure_uploads(Flask("host"), dropzone_app.UploadSet("photos"))


def test_the_destination_is_looked_for_in_the_documented_order():
    def media_of(app):
        return Path(app.config["HOME"], "media")

    photos, media, texts = UploadSet("photos"), UploadSet("media", default_dest=media_of), UploadSet("texts")
    everything = {"HOME": "/home", "UPLOADS_DEFAULT_DEST": "/all", "UPLOADS_DEFAULT_URL": "http://x/all"}
    app = app_with(photos, media, texts, **everything, UPLOADED_PHOTOS_DEST="/photos")
    assert app.upload_set_config == {
        "photos": UploadConfiguration("/photos"),
        "media": UploadConfiguration("/home/media"),
        "texts": UploadConfiguration("/all/texts", "http://x/all/texts/"),
    }
    app = app_with(media, **everything, UPLOADED_MEDIA_DEST="/mine")
    assert app.upload_set_config["media"].destination == "/mine"
    nowhere = UploadSet("media", default_dest=lambda app: None)
    assert app_with(nowhere, **everything).upload_set_config["media"].destination == "/all/media"


def test_a_set_without_a_destination_is_a_runtime_error():
    with pytest.raises(RuntimeError, match="no destination for set photos"):
        config_for_set(UploadSet("photos"), Flask("host"))


def test_sets_can_be_configured_one_after_another():
    app = app_with(UploadSet("photos"), UPLOADS_DEFAULT_DEST="/all")
    configure_uploads(app, UploadSet("media"))
    assert set(app.upload_set_config) == {"photos", "media"}


def test_a_set_that_was_not_configured_is_a_runtime_error():
    photos = UploadSet("photos")
    with Flask("host").app_context(), pytest.raises(RuntimeError, match="not properly configured"):
        photos.config  # noqa: B018
    with (
        app_with(UploadSet("media"), UPLOADS_DEFAULT_DEST="/all").app_context(),
        pytest.raises(RuntimeError, match="'photos' is not configured for this application"),
    ):
        photos.config  # noqa: B018


def test_configurations_compare_by_what_they_say():
    one = UploadConfiguration("/a", "http://x/", ("png",), ("gif",))
    assert one == UploadConfiguration(*one.tuple)
    assert one != UploadConfiguration("/b", "http://x/", ("png",), ("gif",))
    assert one != "/a"


def test_one_declaration_serves_the_zone_and_saves(tmp_path):
    photos = UploadSet("photos", IMAGES, lambda app: tmp_path / "saved", max_file_size="1 KB")
    app = make_app(tmp_path, photos)
    configure_uploads(app, photos)
    client = app.test_client()
    refused = client.post("/upload/photos", data={"file": (BytesIO(b"x"), "a.exe")})
    assert (refused.status_code, "SVG" in refused.text) == (415, True)
    stored = client.post("/upload/photos", data={"file": (BytesIO(PNG), "a.png")})
    assert stored.json["files"][0]["set"] == "photos"
    with app.app_context():
        assert photos.save(upload("a.png", PNG)) == "a.png"
        with pytest.raises(UploadNotAllowed, match="the limit is 1 KB"):
            photos.save(upload("b.png", PNG * 10))
    assert len(client.get("/files", headers={"Accept": "application/json"}).json["files"]) == 1
    assert found_in(tmp_path / "saved") == ["a.png"]


def test_the_zone_and_save_share_the_destination_of_a_set(tmp_path):
    photos = UploadSet("photos", IMAGES, public=True)
    app = make_app(tmp_path, photos, UPLOADED_PHOTOS_DEST=tmp_path / "dest", UPLOADS_AUTOSERVE=True)
    configure_uploads(app, photos)
    client = app.test_client()
    stored = client.post("/upload/photos", data={"file": (BytesIO(PNG), "a.png")}).json["files"][0]
    with app.test_request_context():
        assert photos.save(upload("a.png", b"saved")) == "a_1.png"
        with client.get(photos.url(stored["key"])) as served:
            assert served.data == PNG
    again = client.post("/upload/photos", data={"file": (BytesIO(PNG), "a_1.png")}).json["files"][0]
    assert found_in(tmp_path / "dest") == sorted(["a.png", "a_1.png", again["key"]])
    assert (tmp_path / "dest/a_1.png").read_bytes() == b"saved"


def test_a_zone_never_stores_where_anyone_is_served(tmp_path):
    photos, config = (
        UploadSet("photos", IMAGES),
        {"UPLOADED_PHOTOS_DEST": tmp_path / "dest", "UPLOADS_AUTOSERVE": "yes"},
    )
    with pytest.raises(SettingError, match="UPLOADS_AUTOSERVE serves UPLOADED_PHOTOS_DEST to anyone"):
        make_app(tmp_path, photos, **config)
    for one in (
        {"UPLOADED_PHOTOS_PUBLIC": True},
        {"UPLOADED_PHOTOS_URL": "/photos"},
        {"UPLOADED_PHOTOS_STORAGE": f"file:{tmp_path / 'own'}"},
        {"UPLOADS_AUTOSERVE": False},
    ):
        assert make_app(tmp_path, photos, **{**config, **one})


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("UPLOADED_PHOTOS_DSET", "UPLOADED_PHOTOS_DEST"), ("UPLOADS_AUTOSERV", "UPLOADS_AUTOSERVE")],
)
def test_a_misspelt_setting_stops_the_start(key, nearest):
    with pytest.raises(SettingError, match=f"{key} is no setting; did you mean {nearest}\\?"):
        app_with(UploadSet("photos"), **{"UPLOADED_PHOTOS_DEST": "/x", key: "/y"})


@pytest.mark.parametrize("extensions", [(), "", ("",)])
def test_a_set_without_extensions_has_no_zone(tmp_path, extensions):
    with pytest.raises(SettingError, match="'photos' has no extensions; a drop zone needs some"):
        make_app(tmp_path, UploadSet("photos", extensions))


def test_two_apps_in_threads_use_one_set(tmp_path):
    photos = UploadSet("photos", IMAGES)
    apps = [app_with(photos, UPLOADED_PHOTOS_DEST=tmp_path / name) for name in ("one", "two")]

    def work(app):
        for number in range(20):
            with app.app_context():
                photos.save(upload(f"{number}.jpg"))

    threads = [threading.Thread(target=work, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sorted(f"{number}.jpg" for number in range(20))
    assert found_in(tmp_path / "one") == found_in(tmp_path / "two") == expected


# ---- what may be saved


@pytest.mark.parametrize(
    ("extensions", "allow", "deny", "allowed", "refused"),
    [
        (
            IMAGES,
            (),
            (),
            ["a.jpg", "a.JPG", "a.php.jpg"],
            ["a.exe", "a", "a.jpg.exe", "jpg", ".jpg"],
        ),
        (("PNG", ".Gif"), (), (), ["a.png", "a.gif"], ["a.jpg"]),
        ("png", (), (), ["a.png"], ["a.ng", "a", "a.p"]),
        (IMAGES, ("exe",), ("jpg",), ["a.exe", "a.png"], ["a.jpg"]),
        (IMAGES, ("jpg",), ("jpg",), ["a.jpg"], ["a.txt"]),
        (
            AllExcept(SCRIPTS),
            (),
            (),
            ["a", "a.html", "a.php.jpg"],
            ["a.php", "a.PHP", "a.php.", "a.php ", "a.php\u200b"],
        ),
        (ALL, (), ("exe",), ["a", "a.txt"], ["a.exe", "a.EXE"]),
        (("",), (), (), ["a"], ["a.txt"]),
        ((), ("png",), (), ["a.png"], ["a", "a.jpg"]),
    ],
)
def test_the_extension_decides(tmp_path, extensions, allow, deny, allowed, refused):
    uset = set_in(tmp_path, "files", extensions)
    uset._config.allow, uset._config.deny = allow, deny
    for filename in allowed:
        uset.save(upload(filename))
    for filename in refused:
        with pytest.raises(UploadNotAllowed):
            uset.save(upload(filename))
    assert len(found_in(tmp_path)) == len(allowed)


def test_a_refusal_says_why():
    pictures, rest = set_in("/x", "a", ("png", "gif")), set_in("/x", "b", AllExcept(SCRIPTS))
    pictures._config.allow, pictures._config.deny, rest._config.deny = ("txt",), ("gif",), ("exe",)

    def told(uset, filename, **options):
        with pytest.raises(UploadNotAllowed) as raised:
            uset.save(upload(filename), **options)
        return str(raised.value)

    assert told(pictures, "a.PHP") == ".php files are not accepted here. Accepted: PNG, text."
    assert told(pictures, "a") == "Files without an extension are not accepted here. Accepted: PNG, text."
    assert told(pictures, "a.png", name="b.php") == ".php files are not accepted here. Accepted: PNG, text."
    assert told(rest, "a.exe").startswith(
        ".exe files are not accepted here. Accepted: files of every kind but JS, PHP"
    )
    assert told(rest, "") == "No file was chosen."
    none, bare = set_in(".", "none", ()), set_in(".", "bare", ("",))
    assert told(none, "a.txt") == ".txt files are not accepted here. Accepted: none."
    assert told(none, "a") == "Files without an extension are not accepted here. Accepted: none."
    assert told(bare, "a.txt") == ".txt files are not accepted here. Accepted: files without one."
    bare._config.allow = ("pdf",)
    assert told(bare, "a.txt") == ".txt files are not accepted here. Accepted: files without one, PDF."


def test_a_name_of_your_own_needs_a_good_extension_too(tmp_path):
    photos = set_in(tmp_path, "photos", IMAGES)
    for name in ("backdoor.php", "../templates/rce.html", "noext", "a.jpg/b.php"):
        with pytest.raises(UploadNotAllowed):
            photos.save(upload("a.jpg"), name=name)
    with pytest.raises(UploadNotAllowed):
        photos.save(upload("a.exe"), name="a.jpg")
    assert found_in(tmp_path) == []


def test_your_own_file_allowed_decides(tmp_path):
    class Small(UploadSet):
        def file_allowed(self, storage, basename):
            return super().file_allowed(storage, basename) and "small" in basename

    uset = Small("files", ALL)
    uset._config = UploadConfiguration(str(tmp_path))
    assert uset.save(upload("small.txt")) == "small.txt"
    with pytest.raises(UploadNotAllowed, match="This file is not accepted here"):
        uset.save(upload("large.txt"))


@pytest.mark.parametrize("not_a_file", ["text", b"bytes", None, BytesIO(b"x")])
def test_what_is_no_file_storage_is_a_type_error(tmp_path, not_a_file):
    with pytest.raises(TypeError, match="storage must be a werkzeug FileStorage; it is"):
        set_in(tmp_path).save(not_a_file)


@pytest.mark.parametrize("options", [{"folder": 5}, {"name": 5}, {"folder": Path("a")}])
def test_a_folder_or_name_that_is_no_string_is_a_type_error(tmp_path, options):
    with pytest.raises(TypeError, match=f"{next(iter(options))} must be a string"):
        set_in(tmp_path).save(upload(), **options)


def test_a_file_without_a_name_is_a_value_error(tmp_path):
    with pytest.raises(ValueError, match="Filename must not be empty!"):
        set_in(tmp_path).save(FileStorage(BytesIO(b"x")))


@pytest.mark.parametrize("name", ["...", ".", "a/..", "?*", "\u202e", "_"])
def test_a_name_of_which_nothing_is_left_is_a_value_error(tmp_path, name):
    with pytest.raises(ValueError, match="Invalid filename after sanitization"):
        set_in(tmp_path).save(upload(), name=name)


# ---- content, where it is asked for


def test_plain_save_does_not_look_at_the_content(tmp_path):
    assert set_in(tmp_path, "photos", IMAGES).save(upload("a.png", b"MZ")) == "a.png"


def test_content_is_judged_where_it_is_asked_for(tmp_path):
    photos = set_in(tmp_path, "photos", IMAGES, content=True)
    assert photos.save(upload("a.png", PNG)) == "a.png"
    with pytest.raises(
        UploadNotAllowed, match=r"named \.png, but its content is a Windows program"
    ) as raised:
        photos.save(upload("b.png", b"MZ" + b"\0" * 2000))
    assert raised.value.status == 415
    with pytest.raises(UploadNotAllowed, match=r"named \.gif, but its content is not a GIF"):
        photos.save(upload("b.png", b"BM" + PNG), name="b.gif")
    assert found_in(tmp_path) == ["a.png"]


def test_checks_of_your_own_run_on_the_staged_part(tmp_path):
    def png_only(part):
        if not part.head.startswith(b"\x89PNG"):
            raise Rejected("PNG only!", 422)

    photos = set_in(tmp_path, "photos", ALL, checks=[png_only])
    photos.save(upload("a", PNG))
    with pytest.raises(UploadNotAllowed, match="PNG only!") as raised:
        photos.save(upload("b", b"x"))
    assert (raised.value.status, found_in(tmp_path)) == (422, ["a"])


def test_a_check_that_fails_leaves_nothing_behind(tmp_path):
    def broken(part):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        set_in(tmp_path, "photos", ALL, checks=[broken]).save(upload("a.bin"))
    assert list(tmp_path.iterdir()) == []


def test_the_limit_of_the_configuration_beats_the_declared_one(tmp_path):
    photos = UploadSet("photos", ALL, max_file_size="1 MB")
    app = app_with(photos, UPLOADED_PHOTOS_DEST=tmp_path, UPLOADED_PHOTOS_MAX_FILE_SIZE="5 B")
    with app.app_context(), pytest.raises(UploadNotAllowed, match="the limit is 5 bytes"):
        photos.save(upload("a", b"123456"))


# ---- names of what is saved


@pytest.mark.parametrize(
    ("filename", "folder", "name", "saved"),
    [
        ("foo.txt", None, None, "foo.txt"),
        ("my photo.JPG", None, None, "my_photo.jpg"),
        ("my photo (1).JPG", None, None, "my_photo_(1).jpg"),
        ("naïve.txt", None, None, "naïve.txt"),
        ("-x.txt", None, None, "x.txt"),
        ("/etc/passwd", None, None, "etc_passwd"),
        ("../../my_app.wsgi", None, None, "my_app.wsgi"),
        ("C:\\x\\y.txt", None, None, "C__x_y.txt"),
        (".bashrc", None, None, "bashrc"),
        (".", None, None, "file"),
        ("..", None, None, "file"),
        ("CON.txt", None, None, "_CON.txt"),
        ("写真.jpg", None, None, "写真.jpg"),
        ("файл.TXT", None, None, "файл.txt"),
        ("測試", None, None, "測試"),
        ("a\u202egpj.exe", None, None, "agpj.exe"),
        ("boat.jpg", "someguy", None, "someguy/boat.jpg"),
        ("boat.jpg", "user/2024", None, "user/2024/boat.jpg"),
        ("boat.jpg", "user\\2024//", None, "user/2024/boat.jpg"),
        ("boat.jpg", "ÜBUNG/第 1", None, "ÜBUNG/第_1/boat.jpg"),
        ("boat.jpg", "../../tmp", None, "tmp/boat.jpg"),
        ("boat.jpg", "..", None, "boat.jpg"),
        ("boat.jpg", ".staging", None, "staging/boat.jpg"),
        ("boat.jpg", "", "", "boat.jpg"),
        ("boat.jpg", None, "file_123.jpg", "file_123.jpg"),
        ("BOAT.JPG", None, "photo_123.", "photo_123.jpg"),
        ("boat", None, "photo_123.", "photo_123"),
        ("boat.jpg", None, "someguy/photo_123.", "someguy/photo_123.jpg"),
        ("boat.jpg", None, "u/2024/p.", "u/2024/p.jpg"),
        ("boat.jpg", None, "someguy/", "someguy/boat.jpg"),
        ("boat.jpg", "someguy", "a/b.", "someguy/a_b.jpg"),
        ("boat.jpg", None, "/etc/passwd", "etc/passwd"),
        ("boat.jpg", None, "../../../etc/passwd", "etc/passwd"),
        ("boat.jpg", None, "..\\..\\evil.txt", "evil.txt"),
        ("boat.jpg", None, "file.txt\0.jpg", "file.txt.jpg"),
    ],
)
def test_a_file_is_saved_under_a_safe_name(tmp_path, filename, folder, name, saved):
    uset = set_in(tmp_path)
    assert uset.save(upload(filename), folder=folder, name=name) == saved
    assert found_in(tmp_path) == [saved]
    assert Path(uset.path(saved)).read_bytes() == b"content"


@pytest.mark.parametrize("filename", ["a" * 300 + ".jpg", "写" * 100 + ".jpg", "é" * 200 + ".jpg"])
def test_a_long_name_is_cut_and_keeps_its_extension(tmp_path, filename):
    photos = set_in(tmp_path, "photos", IMAGES)
    names = [photos.save(upload(filename)), photos.save(upload(filename), name=filename.removesuffix("jpg"))]
    assert all(len(name.encode()) <= 255 and name.endswith(".jpg") for name in names)
    assert len(found_in(tmp_path)) == 2


@given(
    st.text(max_size=40),
    st.none() | st.text(max_size=40),
    st.none() | st.text(st.sampled_from("a./\\é\0 "), max_size=12),
)
def test_whatever_it_is_called_it_stays_inside_and_is_what_was_checked(
    tmp_path_factory, filename, folder, name
):
    outside = tmp_path_factory.getbasetemp() / "hypothesis"
    root = outside / "root"
    uset = set_in(root, "files", AllExcept(("exe",)))
    try:
        saved = uset.save(upload(filename), folder=folder, name=name)
    except (ValueError, UploadNotAllowed):
        return
    finally:
        for path in outside.rglob("*"):
            assert path.is_relative_to(root)
    assert (root / saved).is_file()
    assert not saved.lower().rstrip(". ").endswith(".exe")
    assert not any(segment.startswith(".") for segment in saved.split("/"))
    (root / saved).unlink()


# ---- paths and URLs


def test_a_path_is_where_it_was_saved(tmp_path):
    uset = set_in(tmp_path)
    assert uset.path("foo.txt") == f"{tmp_path}/foo.txt"
    assert uset.path("foo/bar.txt", folder="someguy") == f"{tmp_path}/someguy/foo/bar.txt"


@pytest.mark.parametrize(
    ("filename", "folder"),
    [
        ("../a", None),
        ("/etc/passwd", None),
        ("a", ".."),
        ("a", "b/../.."),
        ("a", "/etc"),
        ("link/a", None),
        ("a\0", None),
    ],
)
def test_a_path_outside_is_a_value_error(tmp_path, filename, folder):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"leads out|null byte"):
        set_in(root).path(filename, folder)


@pytest.mark.parametrize("folder", ["link", "link/new"])
def test_a_link_leads_nobody_out(tmp_path, folder):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    for storage in (upload(), TestingFileStorage(filename="a.txt")):
        with pytest.raises(ValueError, match="Path traversal"):
            set_in(root).save(storage, folder=folder)
    assert list(outside.iterdir()) == []


def test_a_file_is_never_written_through_a_link(tmp_path):
    root, victim = tmp_path / "root", tmp_path / "victim"
    root.mkdir()
    victim.write_text("mine")
    (root / "a.txt").symlink_to(victim)
    (root / "b.txt").symlink_to(tmp_path / "nowhere")
    assert set_in(root).save(upload("a.txt")) == "a_1.txt"
    assert set_in(root).save(upload("b.txt")) == "b_1.txt"
    assert (victim.read_text(), (tmp_path / "nowhere").exists()) == ("mine", False)


def test_a_url_is_quoted_and_needs_no_slash_in_the_setting():
    photos = UploadSet("photos")
    for base in ("http://x/p", "http://x/p/"):
        with app_with(photos, UPLOADED_PHOTOS_DEST="/p", UPLOADED_PHOTOS_URL=base).app_context():
            assert photos.url("a/第 1#.jpg") == "http://x/p/a/%E7%AC%AC%201%23.jpg"


def test_a_set_that_nothing_serves_has_no_url():
    photos = UploadSet("photos")
    app = app_with(photos, UPLOADED_PHOTOS_DEST="/p")
    with (
        app.test_request_context(),
        pytest.raises(RuntimeError, match="set UPLOADED_PHOTOS_URL, or UPLOADS_AUTOSERVE"),
    ):
        photos.url("a.jpg")


# ---- serving


def served(tmp_path, **config):
    files, others = UploadSet("files", ALL), UploadSet("others", ALL)
    app = app_with(files, others, UPLOADS_DEFAULT_DEST=tmp_path, UPLOADS_AUTOSERVE=True, **config)
    return app, files, others


def test_what_was_saved_is_served_at_its_url(tmp_path):
    app, files, _ = served(tmp_path)
    with app.test_request_context():
        saved = files.save(upload("写真.jpg"), folder="user/2024")
        url = files.url(saved)
        assert url == url_for("_uploads.uploaded_file", setname="files", filename=saved, _external=True)
    response = app.test_client().get(url, buffered=True)
    assert (response.status_code, response.data) == (200, b"content")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("filename", ["a.html", "a.svg", "a.xml", "a.xhtml"])
def test_a_served_page_runs_no_script_of_ours(tmp_path, filename):
    app, files, _ = served(tmp_path)
    with app.app_context():
        files.save(upload(filename, b"<script>alert(1)</script>"))
    response = app.test_client().get(f"/_uploads/files/{filename}", buffered=True)
    assert response.headers["Content-Security-Policy"] == "sandbox"


def test_a_served_pdf_is_shown_unless_something_in_it_acts(tmp_path):
    app, files, _ = served(tmp_path)
    contents = {"plain.pdf": pdf(), "LIVE.PDF": live("app.alert(1)")["packed"]}
    with app.app_context():
        saved = [files.save(upload(name, content)) for name, content in contents.items()]
    told = [app.test_client().get(f"/_uploads/files/{name}", buffered=True).headers for name in saved]
    assert [headers["Content-Disposition"].partition(";")[0] for headers in told] == ["inline", "attachment"]


def test_nothing_else_is_served(tmp_path):
    app, _, others = served(
        tmp_path, UPLOADED_OTHERS_DEST=tmp_path / "private", UPLOADED_OTHERS_URL="http://x/"
    )
    with app.app_context():
        others.save(upload("a.txt"))
    (tmp_path / "files" / ".staging").mkdir(parents=True)
    (tmp_path / "files" / ".staging" / "x").write_text("half")
    (tmp_path / "secret").write_text("secret")
    for url in (
        "others/a.txt",
        "nobody/a.txt",
        "files/.staging/x",
        "files/../secret",
        "files/%2e%2e/secret",
        "files/a",
    ):
        assert app.test_client().get(f"/_uploads/{url}").status_code == 404, url


def test_nothing_is_served_unless_it_was_asked_for(tmp_path):
    app = app_with(UploadSet("files"), UPLOADS_DEFAULT_DEST=tmp_path)
    assert "_uploads" not in app.blueprints


def test_a_relative_destination_is_one_folder_for_saving_and_serving(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = UploadSet("files", ALL)
    app = app_with(files, UPLOADED_FILES_DEST="kept", UPLOADS_AUTOSERVE=True)
    with app.app_context():
        files.save(upload("a.txt"))
    monkeypatch.chdir("/")
    # Flask would look for a relative folder beside the app's module.
    app.root_path = "/"
    assert app.test_client().get("/_uploads/files/a.txt", buffered=True).data == b"content"
    assert found_in(tmp_path) == ["kept/a.txt"]


# ---- nothing is lost


class Failing(BytesIO):
    """A stream that breaks in the middle, and looks at the folder before it does."""

    def __init__(self, folder):
        super().__init__(b"x" * (3 << 20))
        self.folder = folder
        self.seen = []

    def read(self, size=-1):
        self.seen = list(self.folder.rglob("*"))
        if self.tell() > 1 << 20:
            raise OSError(errno.EIO, "broken")
        return super().read(size)


def test_a_save_that_breaks_leaves_nothing_visible(tmp_path):
    stream = Failing(tmp_path)
    with pytest.raises(OSError, match="broken"):
        set_in(tmp_path).save(FileStorage(stream, "a.bin"))
    assert (stream.seen, list(tmp_path.iterdir())) == ([], [])


def test_where_a_staged_file_needs_a_name_it_lies_in_a_hidden_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        staged.os, "O_TMPFILE", os.O_DIRECTORY | os.O_RDWR
    )  # what an old kernel makes of it: EISDIR
    uset = set_in(tmp_path)
    stream = Failing(tmp_path)
    with pytest.raises(OSError, match="broken"):
        uset.save(FileStorage(stream, "a.bin"))
    assert [path.relative_to(tmp_path).parts[0] for path in stream.seen] == [".staging"] * 2
    assert [uset.save(upload("a.txt")), uset.save(upload("a.txt"))] == ["a.txt", "a_1.txt"]
    assert found_in(tmp_path) == ["a.txt", "a_1.txt"]


def test_what_a_killed_process_had_staged_is_removed_at_the_next_start(tmp_path):
    (tmp_path / ".staging").mkdir()
    (tmp_path / ".staging" / "dead.part").write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"whole")
    app_with(UploadSet("files"), UPLOADED_FILES_DEST=tmp_path)
    assert found_in(tmp_path) == ["mine.part"]


def test_a_file_has_reached_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    steps = []

    def noting(name, real):
        def step(*arguments, **options):
            steps.append(name)
            return real(*arguments, **options)

        return step

    for name in ("fsync", "link"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    set_in(tmp_path, durable=True).save(upload())
    assert steps[:2] == ["fsync", "link"] and steps[-1] == "fsync"
    steps.clear()
    set_in(tmp_path).save(upload())
    assert "fsync" not in steps


def test_durability_follows_the_setting(tmp_path):
    for value, durable in ((None, True), ("no", False)):
        app = app_with(
            UploadSet(), UPLOADED_FILES_DEST=tmp_path, **({"UPLOADS_DURABLE": value} if value else {})
        )
        assert app.upload_set_config["files"].durable is durable


def test_files_and_folders_have_the_modes_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        set_in(tmp_path / "new").save(upload("a.txt"), folder="b")
    finally:
        os.umask(before)
    modes = [oct((tmp_path / "new" / path).stat().st_mode & 0o777) for path in (".", "b", "b/a.txt")]
    assert modes == ["0o750", "0o750", "0o640"]


def test_a_full_disk_is_the_callers_to_see(tmp_path, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(staged.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        set_in(tmp_path).save(upload())
    assert list(tmp_path.iterdir()) == []


# ---- one name, many files


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    uset = set_in(tmp_path)
    names = [uset.save(upload("a.tar.gz", b"%d" % number)) for number in range(3)]
    assert names == ["a.tar.gz", "a.tar_1.gz", "a.tar_2.gz"]
    assert [Path(uset.path(name)).read_bytes() for name in names] == [b"0", b"1", b"2"]
    assert [uset.save(upload("noext")), uset.save(upload("noext"))] == ["noext", "noext_1"]


def test_a_folder_of_that_name_is_no_file(tmp_path):
    (tmp_path / "a.txt").mkdir()
    assert set_in(tmp_path).save(upload("a.txt")) == "a_1.txt"


def test_numbers_that_are_there_already_are_passed_over(tmp_path):
    for name in ("a.txt", *(f"a_{number}.txt" for number in range(1, 38))):
        (tmp_path / name).write_bytes(b"old")
    uset = set_in(tmp_path)
    assert [uset.save(upload("a.txt")) for _ in range(2)] == ["a_38.txt", "a_39.txt"]


@pytest.mark.parametrize("gone", [(1,), (3,), (36, 37), (1, 2, 30)])
def test_gaps_never_cost_a_file(tmp_path, gone):
    taken = {"a.txt", *(f"a_{number}.txt" for number in range(1, 38) if number not in gone)}
    for name in taken:
        (tmp_path / name).write_bytes(b"old")
    assert set_in(tmp_path).save(upload("a.txt")) not in taken
    assert all((tmp_path / name).read_bytes() == b"old" for name in taken)


def test_a_number_is_not_given_again_while_the_app_runs(tmp_path):
    uset = set_in(tmp_path)
    names = [uset.save(upload("a.txt")) for _ in range(3)]
    Path(uset.path(names[-1])).unlink()
    assert uset.save(upload("a.txt")) == "a_3.txt"


def test_fifty_threads_save_one_name_as_fifty_files(tmp_path):
    uset = set_in(tmp_path)
    start = threading.Barrier(50)
    saved = []

    def work(number):
        start.wait()
        saved.append((uset.save(upload("image.jpg", b"%d" % number)), b"%d" % number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dict(saved)) == 50
    assert {name: (tmp_path / name).read_bytes() for name in found_in(tmp_path)} == dict(saved)


def test_processes_that_know_nothing_of_each_other_lose_nothing(tmp_path):
    program = """if True:
        import io, sys
        from werkzeug.datastructures import FileStorage
        from dropzone_app.reuploaded import ALL, UploadConfiguration, UploadSet
        uset = UploadSet("files", ALL)
        uset._config = UploadConfiguration(sys.argv[1])
        uset._config.durable = False
        input()
        for number in range(100):
            print(uset.save(FileStorage(io.BytesIO(f"{sys.argv[2]} {number}".encode()), "image.jpg")), flush=True)
    """
    environ = {**os.environ, "PYTHONPATH": str(Path(dropzone_app.__file__).parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(number)],
            env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    names = [name for process in processes for name in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(names)) == len(names) == 300
    contents = Counter((tmp_path / name).read_text() for name in names)
    assert contents == Counter(f"{process} {number}" for process in range(3) for number in range(100))


def calls_of(function):
    """How often `function` asks the operating system for something, by name of the call."""
    counted = Counter()

    def count(frame, event, argument):
        if event == "c_call" and argument.__module__ == "posix" and argument.__name__ != "fspath":
            counted[argument.__name__] += 1

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


def test_a_save_costs_the_same_however_many_files_share_the_name(tmp_path):
    uset = set_in(tmp_path)
    costs = [calls_of(lambda: uset.save(upload("image.jpg"))) for _ in range(1000)]
    assert len(found_in(tmp_path)) == 1000
    assert costs[1]["link"] == 2, "the link of every save is counted"
    assert costs[2] == costs[10] == costs[999]
    assert not {"listdir", "scandir"} & set(costs[999])


def test_a_folder_that_is_seen_first_is_not_looked_through(tmp_path):
    fresh, known = tmp_path / "fresh", tmp_path / "known"
    fresh.mkdir()
    known.mkdir()
    for name in ("image.jpg", *(f"image_{number}.jpg" for number in range(1, 4001))):
        (known / name).touch()
    (fresh / "image.jpg").touch()
    few = calls_of(lambda: set_in(fresh).save(upload("image.jpg")))
    many = calls_of(lambda: set_in(known).save(upload("image.jpg")))
    assert (known / "image_4001.jpg").read_bytes() == b"content"
    # Doubling up to 4,096, and halving back: twelve steps each.
    assert many.total() - few.total() <= 25
    assert many["link"] == few["link"] == 2


def test_what_is_remembered_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(reuploaded, "REMEMBERED", 3)
    uset = set_in(tmp_path)
    for _ in range(2):
        for number in range(10):
            uset.save(upload(f"{number}.txt"))
    assert len(uset._numbers) == 3
    assert uset.save(upload("0.txt")) == "0_2.txt"


def test_your_own_resolve_conflict_names_the_file(tmp_path):
    class Dated(UploadSet):
        def resolve_conflict(self, target_folder, basename):
            assert target_folder == os.path.join(tmp_path, "a")
            return f"2024-{basename}"

    uset = Dated("files", ALL)
    uset._config = UploadConfiguration(str(tmp_path))
    assert [uset.save(upload("x.txt"), folder="a") for _ in range(2)] == ["a/x.txt", "a/2024-x.txt"]
    # Theirs would write over the second one now.
    with pytest.raises(FileExistsError):
        uset.save(upload("x.txt"), folder="a")
    assert found_in(tmp_path) == ["a/2024-x.txt", "a/x.txt"]


# ---- what tests of an app use


def test_a_testing_file_storage_remembers_where_it_was_saved_and_writes_nothing(tmp_path):
    storage = TestingFileStorage(filename="foo.txt")
    assert storage.saved is None
    (tmp_path / "foo.txt").touch()
    assert set_in(tmp_path).save(storage) == "foo_1.txt"
    assert storage.saved == str(tmp_path / "foo_1.txt")
    assert found_in(tmp_path) == ["foo.txt"]
    with pytest.raises(RuntimeError, match="dst has to be a string"):
        storage.save(BytesIO())
