"""Fixtures of the engine tests: each server is started once, when the first test asks for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from engines.fleet import EVERYWHERE, Engine, Fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path_factory, stack)


@pytest.fixture
def living(fleet: Fleet) -> Iterator[Callable[[str, str], Engine]]:
    """`living(name, limit)` gives an engine; after the test, whatever that did, it still answers."""
    used: list[Engine] = []

    def get(name: str, limit: str) -> Engine:
        used.append(fleet.engine(name, limit))
        return used[-1]

    yield get
    assert all(engine.lives() for engine in used)


@pytest.fixture(params=EVERYWHERE)
def engine(request: pytest.FixtureRequest, living: Callable[[str, str], Engine]) -> Engine:
    """Each server, alone and behind nginx, with room for every body of these tests."""
    return living(request.param, "60 MB")


@pytest.fixture(params=EVERYWHERE)
def tight_engine(request: pytest.FixtureRequest, living: Callable[[str, str], Engine]) -> Engine:
    """Each server, alone and behind nginx, that takes 2 MB in one request."""
    return living(request.param, "2 MB")


@pytest.fixture(scope="session")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 MB for programs that send a file."""
    path = tmp_path_factory.mktemp("big") / "big.bin"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    return path
