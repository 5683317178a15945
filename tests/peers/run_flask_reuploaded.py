"""Run Flask-Reuploaded's own published tests against `dropzone_app.reuploaded`.

python tests/peers/run_flask_reuploaded.py --fetch    # once: get their sdist, by name, with pip
python tests/peers/run_flask_reuploaded.py            # run their tests, and say what passed

Their tests import `flask_uploads`; here that name stands for our module. Exits with 1 when a test fails that is
not in DEVIATING, or one passes that is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

RELEASE = "flask-reuploaded==1.6.0"
FETCHED = Path(__file__).with_name("fetched")
CHECKOUT = Path(__file__).parents[2]

#: Their tests that assert a behaviour which is another one here on purpose, each with the reason.
DEVIATING: dict[str, str] = {}

# The name they import, and nothing of theirs behind it.
SHIM = "import sys\nfrom dropzone_app import reuploaded\nsys.modules[__name__] = reuploaded\n"


def fetch() -> None:
    """Get their sdist, unless it is here."""
    if sdist() is None:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "flask-reuploaded",
        ]
        subprocess.run([*pip, "--dest", FETCHED, RELEASE], check=True)


def sdist() -> Path | None:
    """Their sdist; None before `fetch`."""
    name, _, version = RELEASE.replace("-", "_").partition("==")
    return next((path for path in FETCHED.glob("*.tar.gz") if path.name == f"{name}-{version}.tar.gz"), None)


def run(archive: Path, shim: str = SHIM) -> dict[str, bool]:
    """Whether each of their tests passed, by `module::class::test`. RuntimeError where they could not be run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "theirs", filter="data")
        (tests,) = (folder / "theirs").glob("*/tests")
        (folder / "shim").mkdir()
        (folder / "shim" / "flask_uploads.py").write_text(shim)
        (folder / "pytest.ini").write_text("[pytest]\n")
        report = folder / "report.xml"
        options = ["-c", str(folder / "pytest.ini"), "-p", "no:cacheprovider", f"--junitxml={report}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options, str(tests)],
            cwd=tests.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "shim"), str(CHECKOUT)])},
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, 1) or not report.exists():
            raise RuntimeError(f"Their tests could not be run:\n{done.stdout}\n{done.stderr}")
        return {name_of(case): not len(case) for case in ElementTree.parse(report).iter("testcase")}


def name_of(case: ElementTree.Element) -> str:
    """`module::class::test`, without the folder that the tests happen to lie in."""
    place = case.attrib["classname"].rpartition("tests.")[2]
    return "::".join([*place.split("."), case.attrib["name"]])


def surprises(passed: Mapping[str, bool], deviating: Mapping[str, str]) -> list[str]:
    """A sentence for each test that fails, passes or is missing against the list."""
    found = [
        f"{test} fails, and is not in the list"
        for test, ok in passed.items()
        if not ok and test not in deviating
    ]
    for test in deviating:
        if test not in passed:
            found.append(f"{test} is in the list, and is none of theirs")
        elif passed[test]:
            found.append(f"{test} is in the list, and passes")
    return found


def main(arguments: list[str]) -> int:
    if arguments == ["--fetch"]:
        fetch()
        return 0
    archive = sdist()
    if arguments or archive is None:
        print(__doc__, file=sys.stderr)
        return 2
    passed = run(archive)
    print(f"{RELEASE}: {sum(passed.values())} of {len(passed)} tests pass with dropzone_app.reuploaded.")
    for test, reason in DEVIATING.items():
        print(f"deviates: {test}: {reason}")
    found = surprises(passed, DEVIATING)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
