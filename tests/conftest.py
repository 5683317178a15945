"""Fixtures that all tests share, and the markers that a test gets from its folder."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import once
import pytest
from engines.postgresql import PostgreSQL
from engines.rgw import KEYS, RADOSGateway
from fakes.cloudinary import FakeCloudinary
from hypothesis import settings
from support import LiveServer, is_loopback, missing
from xdist.scheduler import LoadGroupScheduling

from dropzone_app.records import postgresql as records_in_postgresql
from dropzone_app.records import sqlite as records_in_sqlite

# A slow machine is no fault of the code.
settings.register_profile("no deadline", settings(), deadline=None)
settings.load_profile("no deadline")

FOLDER_MARKERS = ("browser", "engines", "faults", "large", "wheel")

# Root cannot have Chromium's sandbox; the others keep it from calling home.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]

#: Tests that take a hundred times as long as others.
LONG = re.compile(
    r"engines/test_(chunks_kill|deploy|direct_page|nodes|slow|start|tus_clients)|test_(chunk|tus)_states.py::test_a_file_is"
)

TEST_FAILED = pytest.StashKey[bool]()
#: Cases by the names of tests and by the paths of their files, also of those that this run leaves out.
CASES = pytest.StashKey[Counter[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[CASES] = Counter(item.name.partition("[")[0] for item in items)
    tests = Path(__file__).parent
    for path, of_file in groupby(items, key=lambda item: item.path):
        its = list(of_file)
        config.stash[CASES][str(path.relative_to(config.rootpath))] += len(its)
        folder = path.relative_to(tests).parts[0]
        if folder in FOLDER_MARKERS:
            for item in its:
                item.add_marker(folder)
    if hasattr(config, "workerinput"):
        longest_first(items)


def server_of(nodeid: str) -> str | None:
    """The real server that a test uses and others too: they run in one process, which starts it once."""
    file = nodeid.partition("::")[0]
    if re.search(r"engines/test_(nodes|direct)", file):
        return "rgw of nodes"
    if re.search(r"engines/test_s3|test_example_profile_image", file):
        return "rgw"
    if "PostgreSQL" in nodeid or "engines/test_postgresql" in file:
        # The tests on it are too many for one process: each starts its own for the files it is given.
        return f"postgresql for {file}"
    if "browser/test_hostile" in file:
        return "chromium"
    if re.search(r"engines/test_(bodies|cut|limit|refusals|tus)\.py", file):
        name = re.search("granian|gunicorn|waitress|flask", nodeid)
        return name and name[0]
    return None


def scope_of(nodeid: str) -> str:
    """What runs in one process: all tests of a real server, else the test alone."""
    return server_of(nodeid) or nodeid


def longest_first(items: list[pytest.Item]) -> None:
    """What takes long begins early, so that no process ends with it while the others have nothing left."""
    seconds: Counter[str] = Counter()
    for item in items:
        seconds[scope_of(item.nodeid)] += 10 if LONG.search(item.nodeid) else 1
    items.sort(key=lambda item: -seconds[scope_of(item.nodeid)])


@pytest.fixture
def cases(pytestconfig: pytest.Config) -> Counter[str]:
    """How many cases each test has, and each file, of all that were collected."""
    return pytestconfig.stash[CASES]


class _ByServer(LoadGroupScheduling):
    """pytest-xdist's own groups do nothing beside pytest 9.2."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        # By how long they take, as `pytest_collection_modifyitems` has them, and not by how many they are.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling:
    return _ByServer(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[TEST_FAILED] = report.failed
    return report


@pytest.fixture(scope="session", autouse=True)
def _shared() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        once.share(monkeypatch)
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One PostgreSQL for all tests of this process, started when the first asks for it."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def _rgw() -> Iterator[RADOSGateway]:
    with RADOSGateway() as server:
        yield server


@pytest.fixture
def rgw(_rgw: RADOSGateway, monkeypatch: pytest.MonkeyPatch) -> RADOSGateway:
    """One S3 store for the whole run, started when the first test asks for it; its keys are in the environment."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return _rgw


@pytest.fixture(scope="session")
def _cloud() -> Iterator[FakeCloudinary]:
    with FakeCloudinary() as fake:
        yield fake


@pytest.fixture
def cloud(_cloud: FakeCloudinary, monkeypatch: pytest.MonkeyPatch) -> FakeCloudinary:
    """One fake Cloudinary for the whole run; its key and secret are in the environment."""
    monkeypatch.setenv("CLOUDINARY_URL", _cloud.settings)
    return _cloud


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.engines)])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The test runs on each engine: `core.database_url` is a new, empty database of it, in child processes too."""
    if request.param == "PostgreSQL":
        with request.getfixturevalue("postgresql").lent() as url, ExitStack() as opened:
            monkeypatch.setenv("TESTS_DATABASE", url)
            # A test that names another database would run on SQLite twice.
            monkeypatch.setattr(records_in_sqlite.SQLite, "__init__", _not_here)
            # The server has a hundred sessions, and apps that are not collected yet keep theirs.
            connect = records_in_postgresql.create_engine

            def connect_for_this_test(*args: Any, **options: Any) -> Any:
                engine = connect(*args, **options)
                opened.callback(engine.dispose)
                return engine

            monkeypatch.setattr(records_in_postgresql, "create_engine", connect_for_this_test)
            yield request.param
    else:
        yield request.param


def _not_here(*_: object, **__: object) -> NoReturn:
    pytest.fail("this test is to run on PostgreSQL, and opens SQLite")


@pytest.fixture
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LiveServer]]:
    """Start real servers: `live_server(workers=2, env={"FLASK_UPLOADS_TYPES": "png"})`; see `LiveServer`.

    Each is in a new folder unless `folder=` names one. All are stopped when the test ends.
    """
    with ExitStack() as stack:

        def start(folder: Path | None = None, **options: Any) -> LiveServer:
            server = stack.enter_context(LiveServer(folder or tmp_path_factory.mktemp("server"), **options))
            if "command" not in options:
                # The test is over: in good order, with a connection open, this takes up to ten seconds.
                stack.callback(server.kill)
            # Captured, so that pytest shows it with a test that failed and with no other.
            stack.callback(lambda: print(f"--- {server.url} printed\n{server.log()}"))
            return server

        yield start


@pytest.fixture(scope="session")
def _playwright() -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    # A busy machine is no fault of the page: these are the times after which a test gives up.
    expect.set_options(timeout=30_000)

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def chromium(_playwright: Any) -> Iterator[Any]:
    """The whole Chromium, with what shows PDFs: the system's, else Playwright's, else the test is skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), _playwright.chromium.executable_path)
    if not Path(found).exists():
        missing(
            "No Chromium is installed; `make test` installs it as root on Debian, else through Playwright."
        )
    with _playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS) as started:
        yield started


@pytest.fixture(scope="session")
def browser(_playwright: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """One Chromium for the whole run; pages come from `page` and `new_page`.

    Where it is installed, the one that has never had a window: pages are the same to it, and a third of the work.
    """
    shell = shutil.which("chromium-headless-shell")
    if shell is None:
        yield request.getfixturevalue("chromium")
        return
    with _playwright.chromium.launch(executable_path=shell, args=CHROMIUM_FLAGS) as started:
        yield started


@pytest.fixture
def new_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Open watched pages, each in a fresh context: `new_page(color_scheme="dark", java_script_enabled=False)`

    The test fails when one of them had a script error, a console error, a violation of its content security
    policy, a script, style or picture that was not served, or a request to any host but this machine. The
    marker `expect_console_errors` lets errors pass (given patterns: only those), never a request elsewhere.
    """
    errors: list[str] = []
    elsewhere: list[str] = []
    contexts: list[Any] = []

    def watch_console(message: Any) -> None:
        # Chromium logs every refused upload this way; what matters of it is seen by `watch_response`.
        if message.type == "error" and not message.text.startswith("Failed to load resource:"):
            errors.append(f"console: {message.text}")

    def watch_response(response: Any) -> None:
        # A thumbnail that the server has no time for yet is asked for again.
        later = response.status == 503 and "/thumbnails/" in response.url
        if response.status >= 400 and not later and response.request.resource_type not in {"xhr", "fetch"}:
            errors.append(f"not served: {response.status} {response.url}")

    def watch_request(sent: Any) -> None:
        if not is_loopback(sent.url):
            elsewhere.append(sent.url)

    def watch(page: Any) -> None:
        page.on("pageerror", lambda error: errors.append(f"script: {error}"))
        page.on("console", watch_console)
        page.on("response", watch_response)
        page.on("request", watch_request)

    def start(**options: Any) -> Any:
        context = browser.new_context(**{"locale": "en-GB", **options})
        contexts.append(context)
        context.set_default_timeout(60_000)
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error("
            "`content security policy: ${e.effectiveDirective} forbids ${e.blockedURI} in ${e.sourceFile}`))"
        )
        context.on("page", watch)
        return context.new_page()

    yield start

    for context in contexts:
        context.close()
    assert not elsewhere, "requests to other machines: " + ", ".join(elsewhere)
    marker = request.node.get_closest_marker("expect_console_errors")
    if marker:
        errors = [e for e in errors if marker.args and not any(pattern in e for pattern in marker.args)]
    # A test that failed already has its own story to tell.
    assert not errors or request.node.stash.get(TEST_FAILED, False), "in the browser:\n" + "\n".join(errors)


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    """A watched page in a fresh context; see `new_page`."""
    return new_page()
