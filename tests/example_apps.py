"""The examples as people start them, and a person who visits them over HTTP."""

import http.cookiejar
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from webclient import CONTENT_TYPE, Item, encode

EXAMPLES = Path(__file__).parents[1] / "examples"


def flask_run(app: Path) -> list[str]:
    """The command that serves the app in this file, as their READMEs say it; see `LiveServer`."""
    return [sys.executable, "-m", "flask", "--app", str(app), "run", "--port", "{port}"]


def lines_of_code(name: str) -> int:
    return len((EXAMPLES / name / "app.py").read_text().splitlines())


@dataclass
class Answer:
    """What came back, redirects followed."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Person:
    """Somebody with cookies: `get` and `post` anything, `upload` with the token of a page, as a script does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask(path, None, headers or {})

    def post(self, path: str, *items: Item, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask(path, encode(*items), {"Content-Type": CONTENT_TYPE, **(headers or {})})

    def token(self, page: str) -> str:
        """The token in the form of this page."""
        found = re.search('name="csrf_token" value="([^"]+)"', self.get(page).text)
        assert found, "the page has no token"
        return found[1]

    def upload(self, page: str, path: str, *items: Item) -> Answer:
        return self.post(path, *items, headers={"X-CSRFToken": self.token(page)})

    def files(self) -> list[dict[str, Any]]:
        """The files that are listed for this person, newest first."""
        found: list[dict[str, Any]] = self.get("/files", {"Accept": "application/json"}).json()["files"]
        return found

    def _ask(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        request = urllib.request.Request(urljoin(self.url, path), data, dict(headers))
        try:
            with self._opener.open(request, timeout=20) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


def stored_in(folder: Path) -> list[str]:
    """The files that people see in the storage of an example that was started in `folder`."""
    root = folder / "uploads"
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not path.parts[0].startswith("."))


def posts_of(page: Any) -> list[str]:
    """The URLs that a page in a browser posts to, from now on."""
    urls: list[str] = []

    def note(request: Any) -> None:
        if request.method == "POST":
            urls.append(request.url)

    page.on("request", note)
    return urls
