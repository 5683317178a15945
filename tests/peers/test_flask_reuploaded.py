"""Flask-Reuploaded's own tests, as its authors published them, pass with our module in place of theirs."""

import pytest
from peers import run_flask_reuploaded as peer
from support import missing


@pytest.fixture(scope="module")
def archive():
    found = peer.sdist()
    if found is None:
        missing("Flask-Reuploaded's tests were not fetched; `make test` fetches them.")
    return found


def test_their_tests_pass_but_for_the_list(archive):
    passed = peer.run(archive)
    assert len(passed) > 50, "some of their tests were not found"
    assert peer.surprises(passed, peer.DEVIATING) == []


def test_a_module_that_breaks_a_promise_is_found(archive):
    passed = peer.run(archive, peer.SHIM + "reuploaded.addslash = str.upper\n")
    found = peer.surprises(passed, peer.DEVIATING)
    assert "test_flask_reuploaded::TestMiscellaneous::test_addslash fails, and is not in the list" in found
    assert len(found) < 10, "the others pass as before"


def test_tests_that_cannot_be_run_are_no_success(archive):
    with pytest.raises(RuntimeError, match="could not be run"):
        peer.run(archive, "raise ImportError('nothing here')\n")


def test_every_difference_from_the_list_is_a_surprise():
    passed = {"a": True, "b": False, "c": False, "d": True}
    assert peer.surprises(passed, {"c": "on purpose", "d": "on purpose", "e": "on purpose"}) == [
        "b fails, and is not in the list",
        "d is in the list, and passes",
        "e is in the list, and is none of theirs",
    ]
