"""The one table of sentences, and the one exception that carries them."""

import ast
import errno
import re
import string
from pathlib import Path

import pytest

from dropzone_app.errors import BY_STATUS, MESSAGES, Rejected, from_os_error
from dropzone_app.kinds import KINDS
from dropzone_app.languages import ENGLISH, Language, languages

SOURCES = Path(__file__).parents[1] / "dropzone_app"


def placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("code", MESSAGES)
def test_a_row_is_a_sentence_for_a_person(code: str) -> None:
    status, text = MESSAGES[code]
    assert 400 <= status <= 599
    assert text.endswith(".") and "!" not in text and "Oops" not in text
    assert "\n" not in text and "  " not in text
    filled = Rejected.because(code, **dict.fromkeys(placeholders(text), "x"))
    assert (filled.status, filled.code) == (status, code)
    assert "{" not in filled.text
    assert filled.sentence[0].isupper() or not filled.sentence[0].isalpha()


@pytest.mark.parametrize("code", MESSAGES)
def test_one_is_not_many(code: str) -> None:
    text = MESSAGES[code].text
    assert "{limit} files" not in text


def test_every_row_is_used_and_every_used_row_exists() -> None:
    code = "\n".join(path.read_text() for path in SOURCES.rglob("*.py") if path.name != "errors.py")
    used = set(re.findall(r'"([a-z_]+)"', code)) | set(BY_STATUS.values())
    # errors.py itself answers for these two.
    assert set(MESSAGES) - used <= {"disk_full", "unavailable"}
    raised = set(re.findall(r'Rejected\.because\(\s*"([a-z_]+)"', code))
    assert raised and raised <= set(MESSAGES)


@pytest.mark.parametrize(("status", "code"), BY_STATUS.items())
def test_a_status_of_the_framework_has_the_row_of_that_status(status: int, code: str) -> None:
    assert MESSAGES[code].status == status


def test_a_sentence_of_ones_own_is_a_refusal() -> None:
    rejected = Rejected("PNG only!")
    assert (rejected.text, rejected.status, rejected.code) == ("PNG only!", 400, "custom")
    assert str(rejected) == "PNG only!"
    assert Rejected("the file is blue.", 422).sentence == "The file is blue."


@pytest.mark.parametrize("status", [0, 200, 302, 399, 600])
def test_a_refusal_cannot_look_like_a_success(status: int) -> None:
    with pytest.raises(ValueError, match="4xx or 5xx"):
        Rejected("no", status)


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\u2028", "\x0b", "\t  \n"])
def test_a_refusal_is_one_line_whoever_wrote_it(breaks: str) -> None:
    text = Rejected(f'blue{breaks}file[0] "other.png": stored').text
    assert text == 'blue file[0] "other.png": stored'
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_a_refusal_is_never_empty(empty: str) -> None:
    assert Rejected(empty).text == MESSAGES["bad_request"].text


def test_an_unknown_row_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Rejected.because("nonsense")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_507(number: int) -> None:
    assert from_os_error(OSError(number, "No space", "/srv/secret/path")).status == 507


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENOENT, None])
def test_any_other_failure_of_the_storage_is_503_and_tells_no_path(number: int | None) -> None:
    error = OSError(number, "broken", "/srv/secret/path") if number else OSError("/srv/secret/path")
    rejected = from_os_error(error)
    assert rejected.status == 503
    assert "/" not in rejected.text


def phrases_of_the_code() -> set[str]:
    """What the server puts into its sentences: every literal given to Phrase, and every noun of a file."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Phrase":
                first = node.args[0]
                assert isinstance(first, ast.Constant | ast.Name), f"{path}: {ast.unparse(node)}"
                if isinstance(first, ast.Constant):
                    found.add(first.value)
            # What a file is, wherever it is found out.
            noun = isinstance(node, ast.Constant) and isinstance(node.value, str)
            in_tables = path.name == "kinds.py" or "content" in path.parts
            if noun and in_tables and re.fullmatch(r"an? [\w.-]+( [\w-]+){0,4}", node.value):
                found.add(node.value)
    return found - {"{names}"}


TRANSLATIONS = [language for tag, language in languages().items() if tag != ENGLISH]


@pytest.mark.parametrize("language", TRANSLATIONS, ids=lambda language: str(language.language))
def test_a_language_says_all_that_english_says_and_nothing_else(language: Language) -> None:
    english = languages()[ENGLISH]
    file = f"static/js/languages/{language.language}.js"
    for section, wanted in (
        ("words", english.words),
        ("sentences", english.sentences),
        ("server", {code: row.text for code, row in MESSAGES.items()}),
        ("phrases", {", ": ", ", **{text: text for text in phrases_of_the_code()}}),
    ):
        there: dict[str, str] = dict(getattr(language, section))
        missing, unknown = wanted.keys() - there.keys(), there.keys() - wanted.keys()
        assert not missing, f'{file} lacks these of "{section}": add them. {sorted(missing)}'
        if section == "phrases":
            # Names of kinds that are words stand among them, and nouns that are made of a word alone.
            unknown -= {name for kind in KINDS.values() for name in (kind.name, kind.noun)}
            unknown -= {"files without one"}
        assert not unknown, f'{file} has what nothing says any more under "{section}": {sorted(unknown)}'
        for code, text in wanted.items():
            assert placeholders(there[code]) <= placeholders(text) | {"n"}, f"{section}: {code}"
            if section != "phrases":
                assert placeholders(there[code]) == placeholders(text), f"{section}: {code}"
