"""`make audit` says which half of it could be asked, and its status means it."""

import json
import runpy
from pathlib import Path

import pytest

audit = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "audit.py"))
CLEAN = {"name": "flask", "version": "3.1.3", "vulns": []}
HOLED = {"name": "werkzeug", "version": "3.1.5", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1.9"]}]}
SKIPPED = {"name": "granian", "skip_reason": "not found"}
NPM = json.dumps({"vulnerabilities": {}, "metadata": {"dependencies": {"total": 9}}})
NPM_HOLED = json.dumps(
    {"vulnerabilities": {"x": {"severity": "high"}}, "metadata": {"dependencies": {"total": 9}}}
)


@pytest.mark.parametrize(
    ("python", "npm", "status", "said"),
    [
        ([CLEAN], NPM, 0, ["Python: no known hole in 1 packages.", "npm: no known hole in 9 packages."]),
        ([CLEAN, HOLED], NPM, 1, ["Python: werkzeug 3.1.5: CVE-1, mended in 3.1.9"]),
        ([CLEAN], NPM_HOLED, 1, ["npm: x: high", "npm: 1 known holes in 9 packages."]),
        ([CLEAN, SKIPPED], NPM, 2, ["Python: no known hole in 1 packages.", "Python: NOT audited, because"]),
        ([HOLED, SKIPPED], "", 1, ["Python: werkzeug", "npm: NOT audited: there is no answer"]),
        (None, NPM, 2, ["Python: NOT audited: there is no answer"]),
        ([CLEAN], '{"message": "405 Method Not Allowed", "error": {}}', 2, ["npm: NOT audited"]),
    ],
)  # fmt: skip
def test_a_half_that_could_not_be_asked_is_told_and_is_no_success(
    python: list[object] | None, npm: str, status: int, said: list[str]
) -> None:
    report = "" if python is None else json.dumps({"dependencies": python})
    lines, told = audit["verdict"]({"Python": audit["python_half"](report), "npm": audit["npm_half"](npm)})
    assert told == status
    for start in said:
        assert any(line.startswith(start) for line in lines), lines
