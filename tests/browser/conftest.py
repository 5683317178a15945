"""What the browser tests share: one server, one set of files, and a page that is open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.samples import twenty
from support import LiveServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The real server with one rule of its own: a limit that a test's file can pass. Each page is its own owner."""
    folder = tmp_path_factory.mktemp("shared-server")
    with LiveServer(folder, env={"FLASK_UPLOADS_MAX_FILE_SIZE": "2 MB"}) as started:
        yield started


@pytest.fixture(scope="session")
def good_files(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty real files of mixed kinds."""
    page = browser.new_page()
    try:
        return twenty(tmp_path_factory.mktemp("good"), page)
    finally:
        page.close()


@pytest.fixture
def upload_page(page: Any, server: LiveServer) -> Any:
    """The page, open and ready."""
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    return page
