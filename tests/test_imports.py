"""Imports point one way, and few modules know a framework: what keeps each module readable by itself."""

import ast
import configparser
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "dropzone_app"
SOURCES = Path(__file__).parents[1] / PACKAGE

# From the door inwards. A module imports from layers below its own, and inside its own folder.
LAYERS = (
    {"__main__"},
    {"__init__"},
    {"cli", "forms", "reuploaded"},
    {"views"},
    {"access", "security", "signals"},
    {"direct", "doctor", "metrics", "sweep", "tus"},
    {"chunked", "state"},
    {"batch", "thumbnails"},
    {"uploads"},
    {"processing", "records"},
    {"intake"},
    {"storage", "checks"},
    {"naming", "dropzone", "processes"},
    {"kinds"},
    {"content", "errors", "config", "decoder"},
    {"thumbnailer", "languages", "cores"},
)

# What only these may import: a module, or a folder and all in it. The first name that fits counts.
# A door too: whoever imports it stands in a Flask app, and calls it with the app and its files.
FLASK = {"__init__", "__main__", "cli", "reuploaded", "views", "access", "security", "intake/request"}
KNOWN_TO = {
    "flask": FLASK,
    "flask_dropzone": {"__init__"},
    "flask_wtf": {"__init__", "security", "forms"},
    # Imported by nobody who limits nothing.
    "flask_limiter": {"access"},
    "limits": {"access"},
    # A part of a request is Werkzeug's FileStorage for all who receive it.
    "werkzeug": FLASK | {"batch", "chunked", "intake", "forms"},
    # That the database failed is for those to know who answer for it; what SQL is, for the records alone.
    "sqlalchemy.exc": {"records", "batch", "chunked", "doctor", "views"},
    "sqlalchemy": {"records"},
    "alembic": {"records"},
    # Imported by nobody who stores files elsewhere.
    "boto3": {"storage/s3"},
    "botocore": {"storage/s3"},
    "cloudinary": {"storage/cloudinary"},
    "prometheus_client": {"metrics"},
    "urllib3": {"storage/cloudinary"},
}


def imported(source: Path, root: Path) -> Iterator[str]:
    """Every dotted name that this file imports, made absolute, wherever in the file it stands."""
    package = [PACKAGE, *source.relative_to(root).parent.parts]
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import name` may mean a module of that name or something inside the package.
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def violations(root: Path) -> list[str]:
    """A sentence for each import under this folder that the two tables forbid."""
    found = []
    layer_of = {name: depth for depth, names in enumerate(LAYERS) for name in names}
    for source in sorted(root.rglob("*.py")):
        module = source.relative_to(root).with_suffix("").as_posix()
        inside = module.removesuffix("/__init__")
        part = inside.split("/")[0]
        if part not in layer_of:
            found.append(f"{module} has no place in the table of layers")
            continue
        for name in imported(source, root):
            top, *rest = name.split(".")
            known = next((known for known in KNOWN_TO if f"{name}.".startswith(f"{known}.")), None)
            if top == PACKAGE:
                # A name that is no module is something the package itself offers at its door.
                target = rest[0] if rest and rest[0] in layer_of else "__init__"
                if target != part and layer_of[target] <= layer_of[part]:
                    found.append(f"{module} imports {target}, which is not below it")
            elif known and not {part, inside} & KNOWN_TO[known]:
                found.append(f"{module} imports {known}, which only {sorted(KNOWN_TO[known])} may know")
    return found


def test_imports_point_one_way() -> None:
    assert violations(SOURCES) == []


def test_every_module_of_the_tables_was_looked_at() -> None:
    looked_at = {path.relative_to(SOURCES).parts[0].removesuffix(".py") for path in SOURCES.rglob("*.py")}
    assert {"__init__", "__main__", "views", "security", "uploads", "records", "errors"} <= looked_at


@pytest.mark.parametrize(
    ("module", "line", "sentence"),
    [
        ("errors", "from dropzone_app.uploads import Site", "imports uploads, which is not below it"),
        ("errors", "from .records import Records", "imports records, which is not below it"),
        ("records", "from . import views", "imports views, which is not below it"),
        ("storage/local", "from ..records import x", "imports records, which is not below it"),
        ("storage/local", "from .. import checks", "imports checks, which is not below it"),
        ("storage/__init__", "from ..uploads import x", "imports uploads, which is not below it"),
        ("uploads", "from dropzone_app import Uploads", "imports __init__, which is not below it"),
        ("uploads", "def f():\n    import dropzone_app.views.upload", "imports views, which is not below it"),
        ("__init__", "from . import __main__", "imports __main__, which is not below it"),
        ("checks", "import flask", "imports flask, which only"),
        ("intake/chunks", "from flask import request", "imports flask, which only"),
        ("records", "from werkzeug.exceptions import NotFound", "imports werkzeug, which only"),
        ("views/files", "import sqlalchemy as sa", "imports sqlalchemy, which only"),
        ("views/files", "from sqlalchemy import select", "imports sqlalchemy, which only"),
        ("storage/s3", "from sqlalchemy.exc import OperationalError", "imports sqlalchemy.exc, which only"),
        ("helpers", "import os", "has no place in the table of layers"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, module: str, line: str, sentence: str) -> None:
    source = tmp_path / f"{module}.py"
    source.parent.mkdir(exist_ok=True)
    source.write_text(f'"""A module."""\n\n{line}\n')
    (found,) = violations(tmp_path)
    assert found.startswith(f"{module} {sentence}")


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("__init__", "from .views import upload\nimport flask"),
        ("views/__init__", "from .upload import view\nfrom ..security import owner"),
        ("intake/request", "from .chunks import x\nfrom ..storage.staged import StagedFile\nimport werkzeug"),
        ("batch", "from sqlalchemy.exc import SQLAlchemyError\nimport werkzeug.datastructures"),
        (
            "storage/local",
            "from . import Storage\nfrom .staged import StagedFile\nfrom ..errors import Rejected",
        ),
    ],
)
def test_an_import_from_below_is_fine(tmp_path: Path, module: str, line: str) -> None:
    source = tmp_path / f"{module}.py"
    source.parent.mkdir(exist_ok=True)
    source.write_text(line)
    assert violations(tmp_path) == []


#: An app of the defaults, and what most people do with it. Prints what was imported for that.
USED = """
import io, json, sys
from dropzone_app import create_app
app = create_app({"SECRET_KEY": "test", "WTF_CSRF_ENABLED": False})
client = app.test_client()
assert client.get("/").status_code == 200
assert client.post("/upload", data={"file": (io.BytesIO(b"hello"), "a.txt")}).status_code == 201
assert client.get("/files").status_code == 200
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def plain(requirement: str) -> str:
    """The name of a package in a requirement, as all its spellings are compared."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def test_what_only_an_extra_needs_is_not_imported_before_it_is_used(tmp_path: Path) -> None:
    setup = configparser.ConfigParser()
    setup.read(SOURCES.parent / "setup.cfg")
    extras = [lines for extra, lines in setup["options.extras_require"].items() if extra != "dev"]
    wanted = {plain(line) for lines in extras for line in lines.split("\n") if line}
    modules = importlib.metadata.packages_distributions()
    of_extras = {name for name, packages in modules.items() if wanted & set(map(plain, packages))}
    assert {
        "boto3",
        "psycopg",
        "cloudinary",
        "PIL",
        "magic",
        "flask_limiter",
        "prometheus_client",
    } <= of_extras
    printed = subprocess.run(
        [sys.executable, "-c", USED], cwd=tmp_path, check=True, capture_output=True
    ).stdout
    used = set(json.loads(printed))
    assert {"flask", "sqlalchemy", "multipart"} <= used
    # Alembic and the server are required, and yet for a start alone.
    assert not used & (of_extras | {"alembic", "granian"})


def test_the_import_leaves_for_later_what_no_app_may_need() -> None:
    # Not the dialect of an engine that is not used, not what pictures and XML are read with, no server, no client.
    heavy = {
        *("alembic", "granian", "PIL", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite"),
        *("multiprocessing", "unittest", "xml.etree", "xml.sax"),
    }
    command = "import json, sys, dropzone_app; print(json.dumps(list(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True).stdout
    assert not heavy & set(json.loads(printed))
