"""What the documents show is there."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGES.md",
    ROOT / "SECURITY.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_and_picture_leads_to_a_file(document: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)", document.read_text()) if "://" not in target]
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_readme_shows_the_page() -> None:
    assert len(re.findall(r"!\[[^]]+\]\(docs/screenshots/", (ROOT / "README.md").read_text())) == 2


def test_each_promise_is_put_to_the_test_as_often_as_security_says(cases: Counter[str]) -> None:
    if "tests/faults/test_races.py" not in cases or "tests/test_access.py" not in cases:
        pytest.skip("Counted where all tests are collected, as in `make test`.")
    wrong = []
    for row in re.findall(r"^\|.*\|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE):
        *_, shown_by, told = [cell.strip() for cell in row.strip("|").split(" | ")]
        if count := re.match(r"(\d+) cases?\b", told):
            there = sum(cases[name] for name in re.findall(r"`(test_\w+|tests/[\w/]+\.py)`", shown_by))
            if there < int(count[1]):
                wrong.append(f"{there} and not {told}: {shown_by}")
    assert wrong == []


def test_every_test_that_security_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
    there = {
        name
        for path in ROOT.glob("tests/**/*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 20
    assert named - there == set()
