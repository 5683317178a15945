"""The local storage with each database: nothing half stays, whatever fails."""

from pathlib import Path

import pytest
from contract_rollback import RollbackContract
from core import make_app
from flask import Flask

from dropzone_app import UploadSet


class Local:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def app(self, *sets: UploadSet) -> Flask:
        return make_app(self._folder, *sets)

    def lying(self) -> dict[str, int]:
        root = self._folder / "uploads"
        return {
            path.relative_to(root).as_posix(): path.stat().st_size
            for path in root.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def backend(database: str, tmp_path: Path) -> Local:
    return Local(tmp_path)


class TestContract(RollbackContract):
    pass
