"""What is installed with the package is new enough to be without the holes that are known."""

import configparser
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def requirements() -> dict[str, list[str]]:
    """The requirements of setup.cfg: those of the package under "", and those of its extras."""
    config = configparser.ConfigParser(comment_prefixes=("#",))
    config.read(ROOT / "setup.cfg")
    lists = {"": config["options"]["install_requires"], **config["options.extras_require"]}
    return {name: [line for line in text.splitlines() if line] for name, text in lists.items()}


def test_every_dependency_has_a_lower_bound() -> None:
    found = requirements()
    assert len(found[""]) >= 8 and len(found) >= 8
    for name, lines in found.items():
        loose = [
            line for line in lines if not re.match(r"[\w.-]+(\[\w+\])? (>= \d[\d.]*|== \d[\d.]*\.\*)", line)
        ]
        assert loose == [], name


def test_what_an_extra_installs_is_what_the_tests_run() -> None:
    found = requirements()
    runtime = {line for name, lines in found.items() if name != "dev" for line in lines}
    tested = {*found["dev"], *found[""]}
    assert runtime - tested == set()


def test_what_the_browser_gets_is_one_version_with_a_digest() -> None:
    named = json.loads((ROOT / "package.json").read_text())
    for version in (named["dependencies"] | named["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert [path for path, package in locked.items() if path and "integrity" not in package] == []
