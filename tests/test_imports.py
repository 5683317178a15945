"""Imports point one way, and few modules know a framework: what keeps each module readable by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "dropzone_app"
SOURCES = Path(__file__).parents[1] / PACKAGE

# From the door inwards. A module imports from layers below its own, and inside its own folder.
LAYERS = (
    {"__main__"},
    {"__init__"},
    {"cli", "reuploaded"},
    {"views"},
    {"security"},
    {"uploads"},
    {"intake", "records"},
    {"storage", "checks"},
    {"naming"},
    {"errors", "config", "kinds"},
)

# What only these may import: a module, or a folder and all in it. The first name that fits counts.
FLASK = {"__init__", "__main__", "cli", "views", "security", "intake/request"}
KNOWN_TO = {
    "flask": FLASK,
    "flask_dropzone": {"__init__"},
    "flask_wtf": {"__init__", "security"},
    # A part of a request is Werkzeug's FileStorage for all who receive it.
    "werkzeug": FLASK | {"uploads", "intake"},
    # That the database failed is for those to know who answer for it; what SQL is, for the records alone.
    "sqlalchemy.exc": {"records", "uploads", "views"},
    "sqlalchemy": {"records"},
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
            if top == PACKAGE:
                # A name that is no module is something the package itself offers at its door.
                target = rest[0] if rest and rest[0] in layer_of else "__init__"
                if target != part and layer_of[target] <= layer_of[part]:
                    found.append(f"{module} imports {target}, which is not below it")
            elif top in KNOWN_TO and not {part, inside} & KNOWN_TO[top]:
                found.append(
                    f"{module} imports {top}, which only {', '.join(sorted(KNOWN_TO[top]))} may know"
                )
    return found


def test_imports_point_one_way() -> None:
    assert violations(SOURCES) == []


def test_every_module_of_the_tables_was_looked_at() -> None:
    looked_at = {path.relative_to(SOURCES).parts[0].removesuffix(".py") for path in SOURCES.rglob("*.py")}
    assert {"__init__", "__main__", "views", "security", "uploads", "records", "errors"} <= looked_at


@pytest.mark.parametrize(
    ("module", "line", "sentence"),
    [
        ("errors", "from dropzone_app.uploads import Batch", "errors imports uploads, which is not below it"),
        ("errors", "from .records import Records", "errors imports records, which is not below it"),
        ("records", "from . import views", "records imports views, which is not below it"),
        ("storage/local", "from ..records import x", "storage/local imports records, which is not below it"),
        ("storage/local", "from .. import checks", "storage/local imports checks, which is not below it"),
        (
            "storage/__init__",
            "from ..uploads import x",
            "storage/__init__ imports uploads, which is not below it",
        ),
        ("uploads", "from dropzone_app import Uploads", "uploads imports __init__, which is not below it"),
        (
            "uploads",
            "def f():\n    import dropzone_app.views.upload",
            "uploads imports views, which is not below it",
        ),
        ("checks", "import flask", "checks imports flask, which only"),
        (
            "intake/chunks",
            "from werkzeug.wrappers import Request",
            "intake/chunks imports werkzeug, which only",
        ),
        (
            "views/files",
            "import sqlalchemy as sa",
            "views/files imports sqlalchemy, which only records may know",
        ),
        ("__init__", "from . import __main__", "__init__ imports __main__, which is not below it"),
        ("helpers", "import os", "helpers has no place in the table of layers"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, module: str, line: str, sentence: str) -> None:
    source = tmp_path / f"{module}.py"
    source.parent.mkdir(exist_ok=True)
    source.write_text(f'"""A module."""\n\n{line}\n')
    (found,) = violations(tmp_path)
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("__init__", "from .views import upload\nimport flask"),
        ("views/__init__", "from .upload import view\nfrom ..security import owner"),
        ("intake/request", "from .chunks import x\nfrom ..storage.staged import StagedFile\nimport werkzeug"),
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
