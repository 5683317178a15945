"""Work that is the same for each of the thousands of apps that a process of the tests makes, done once."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from werkzeug.routing.rules import Rule

from dropzone_app.records import Records, postgresql, sqlite


class _Compiled(dict[Any, Any]):
    """A cache of compiled statements for all engines of a kind; SQLAlchemy keeps one for each engine."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), value)


def share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all apps of this process share compiled statements, routes, and what botocore reads of S3."""
    compiled = _Compiled()
    for module in (sqlite, postgresql):
        monkeypatch.setattr(module, "create_engine", _with_cache(module.create_engine, compiled))
    monkeypatch.setattr(Rule, "_compile_builder", _builders(Rule._compile_builder))
    monkeypatch.setattr(botocore.session, "create_loader", _load_once(botocore.session.create_loader))


def _with_cache(create_engine: Callable[..., Any], compiled: _Compiled) -> Callable[..., Any]:
    def create(*args: Any, **options: Any) -> Any:
        return create_engine(*args, execution_options={"compiled_cache": compiled}, **options)

    return create


def _builders(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    made: dict[Any, Any] = {}

    def builder(rule: Rule, append_unknown: bool = True) -> Any:
        # What it makes of a rule with defaults depends on more.
        if rule.defaults:
            return compile_builder(rule, append_unknown)
        key = rule.rule, tuple(rule._trace), append_unknown
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    return builder


def _load_once(create_loader: Callable[..., Any]) -> Callable[..., Any]:
    read: dict[Any, Any] = {}

    def create(*paths: Any) -> Any:
        loader = create_loader(*paths)
        # For each client it takes megabytes of JSON apart.
        loader._cache = read
        return loader

    return create


@cache
def empty_database() -> bytes:
    """What lies in the file of a new SQLite database once its tables are made."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "app.sqlite")
        Records(f"sqlite:///{file}", durable=False).close()
        return file.read_bytes()
