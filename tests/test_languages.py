"""Every sentence in every language: the catalogues are complete, and the reader's is the one that is answered."""

import html
import json
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from webclient import EXE, PNG, Visitor, encode, host_visitor, visiting

from dropzone_app import Rejected, Uploads, UploadSet
from dropzone_app.config import SettingError, Size
from dropzone_app.errors import MESSAGES
from dropzone_app.languages import ENGLISH, Language, Phrase, languages, word
from dropzone_app.views.upload import MAX_CODES

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "dropzone_app"
TRANSLATIONS = [language for tag, language in languages().items() if tag != ENGLISH]
ZH = languages()["zh"]
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
HAN = re.compile(r"[\u4e00-\u9fff]")

each_language = pytest.mark.parametrize("language", TRANSLATIONS, ids=lambda language: str(language.language))


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


def placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


@each_language
def test_the_browser_and_the_server_say_the_same_of_the_same(language: Language) -> None:
    rules = ("extension", "no_extension", "too_large", "drop_full", "empty_name")
    for code in rules:
        assert languages()[ENGLISH].sentences[code] == MESSAGES[code].text
        assert language.sentences[code] == language.server[code]


def test_chinese_is_chinese() -> None:
    for section in (ZH.words, ZH.sentences, ZH.server):
        assert [
            text
            for code, text in section.items()
            if not HAN.search(text) and code not in {"separator", "full_stop"}
        ] == []
    for text in (*ZH.sentences.values(), *ZH.server.values()):
        assert text.endswith("。")
        # No sentence of another script's marks.
        assert not re.search(r"[\u4e00-\u9fff][,.;:?!]", text)


def test_every_word_that_is_asked_for_is_there() -> None:
    asked = set()
    for path in [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static" / "js").glob("*.js")]:
        asked |= set(re.findall(r"\bword\(\s*[\"'](\w+)[\"']", path.read_text()))
    assert len(asked) > 50
    assert asked <= languages()[ENGLISH].words.keys()


def test_no_template_and_no_script_says_a_word_of_its_own() -> None:
    for path in (ROOT / "templates").rglob("*.html"):
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.DOTALL)
        said = re.findall(r">([^<>]*[A-Za-z]{2}[^<>]*)<", text)
        assert [one.strip() for one in said if one.strip()] == [], path.name
        assert not re.search(r'(?:aria-label|title|alt|placeholder)="[^"]*[A-Za-z]{2}', text), path.name
    for path in (ROOT / "static" / "js").glob("*.js"):
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
        # Two words in a string literal, the first with a capital, are a sentence; errors for programmers may be thrown.
        text = re.sub(r"new Error\([^;]*;", "", text)
        assert re.findall(r"[\"'`][A-Z][a-z]+ [a-z]+[^\"'`\n]*[\"'`]", text) == [], path.name


def test_a_phrase_is_english_wherever_nobody_asks_for_more() -> None:
    listed = Phrase("{names} and {n} more kinds", names=(Phrase("text"), "PNG"), n=3)
    assert listed == "text, PNG and 3 more kinds"
    assert listed.told("zh") == "文本、PNG 和另外 3 种类型"
    assert Phrase("a {brace} of its own").told("zh") == "a {brace} of its own"
    assert (Size(1).told("zh"), Size(999).told("zh"), Size(12_100_000).told("zh")) == (
        "1 字节",
        "999 字节",
        "12.1 MB",
    )
    with pytest.raises(KeyError):
        word("zh", "nonsense")


# ---- what is answered


def every_row(tmp_path: Path) -> Visitor:
    """A host whose check refuses each file by the row that the file is named after."""

    def refuse(part: Any) -> None:
        code = part.filename.removesuffix(".txt")
        raise Rejected.because(code, **dict.fromkeys(placeholders(MESSAGES[code].text), "7"))

    rows = UploadSet("rows", ["txt"], max_parts=len(MESSAGES), checks=[refuse])
    return host_visitor(tmp_path, rows)


def test_every_row_of_the_table_is_answered_in_chinese(tmp_path: Path) -> None:
    visitor = every_row(tmp_path)
    items = [(f"file[{index}]", f"{code}.txt", b"text") for index, code in enumerate(MESSAGES)]
    answer = visitor.upload(*items, headers=CHINESE)
    assert answer.status_code == 422
    *lines, closing = answer.text.splitlines()
    assert closing == "没有保存任何文件。"
    assert answer.headers["Content-Language"] == "zh"
    for index, (line, (code, text)) in enumerate(zip(lines, ZH.server.items(), strict=True)):
        told = ZH.server[list(MESSAGES)[index]]
        filled = told.format(**dict.fromkeys(placeholders(told), "7"))
        if MESSAGES[list(MESSAGES)[index]].status >= 500:
            filled += f"请求编号：{answer.headers['X-Request-ID']}。"
        assert line == f'file[{index}] "{list(MESSAGES)[index]}.txt": {filled}', (code, text)


def test_every_row_stands_on_the_result_page_in_the_language_of_who_reads_it(tmp_path: Path) -> None:
    visitor = every_row(tmp_path)
    items = [("file", f"{code}.txt", b"text") for code in MESSAGES]
    token = ("csrf_token", visitor.token())
    body, wanted = [token, *items], {"Accept": "text/html"}
    answer = visitor.post(encode(*body), headers=wanted)
    assert answer.status_code == 303
    page = answer.headers["Location"]
    english, chinese = (visitor.get(page, headers=wanted | extra) for extra in ({}, CHINESE))
    assert '<html lang="en">' in english.text and '<html lang="zh">' in chinese.text
    assert "No file was stored" in english.text and "没有保存任何文件" in chinese.text
    for code, row in MESSAGES.items():
        in_english, in_chinese = (
            text.format(**dict.fromkeys(placeholders(text), "7")) for text in (row.text, ZH.server[code])
        )
        said = Rejected(in_english).sentence.replace('"', "&#34;").replace("'", "&#39;")
        assert said in english.text
        assert in_chinese.replace('"', "&#34;") in chinese.text
    shown = re.sub(r"<[^>]*>|\w+\.txt", " ", chinese.text.partition("<main")[2])
    assert not re.search(r"\b(?:stored|refused|file|Back|Open|the)\b", shown)


@pytest.mark.parametrize(
    ("accepted", "answered"),
    [
        (None, "en"),
        ("", "en"),
        ("*", "en"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW,zh;q=0.8,en;q=0.5", "zh"),
        ("de-DE,de;q=0.9", "en"),
        ("de,zh;q=0.4,en;q=0.3", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("zh;q=0, en", "en"),
        ("\x01, ;;q=x", "en"),
    ],
)
def test_the_browser_s_language_is_answered(
    visit: Callable[..., Visitor], accepted: str | None, answered: str
) -> None:
    headers = {} if accepted is None else {"Accept-Language": accepted}
    page = visit().get("/", headers=headers)
    assert f'<html lang="{answered}">' in page.text
    assert f'data-uploads-language="{answered}"' in page.text
    assert page.headers["Content-Language"] == answered
    assert "Accept-Language" in page.headers["Vary"]


def test_an_app_chooses_what_it_speaks(visit: Callable[..., Visitor]) -> None:
    only = visit(UPLOADS_LANGUAGES="en").get("/", headers=CHINESE)
    assert '<html lang="en">' in only.text
    first = visit(UPLOADS_LANGUAGES=["zh", "en"])
    assert '<html lang="zh">' in first.get("/", headers={"Accept-Language": "de"}).text
    assert '<html lang="en">' in first.get("/", headers={"Accept-Language": "en"}).text
    for wrong in ("xx", "", [], 7, "en,klingon", ["en", 1]):
        with pytest.raises(
            SettingError, match=r"UPLOADS_LANGUAGES must be languages that there are \(en, zh\)"
        ):
            visit(UPLOADS_LANGUAGES=wrong)


def test_the_zone_has_the_reader_s_words_and_the_server_s_sentences(visit: Callable[..., Visitor]) -> None:
    page = visit(UPLOADS_TYPES="png,jpg,txt,pdf,csv", UPLOADS_MAX_FILES=20).get("/", headers=CHINESE).text
    assert "将文件或文件夹拖放到这里" in page
    assert "PNG、JPEG、文本 和另外 2 种类型，每个不超过 5 GB，每次最多 20 个。" in page
    (options,) = (json.loads(html.unescape(text)) for text in re.findall('data-uploads-zone="([^"]+)"', page))
    assert options["messages"]["too_large"] == ZH.server["too_large"]
    assert options["accepted"] == "PNG、JPEG、文本、PDF、CSV"


def test_what_is_found_in_a_file_is_said_in_the_reader_s_language(visit: Callable[..., Visitor]) -> None:
    answer = visit().upload(("file", "a.jpg", PNG), headers=CHINESE)
    assert (
        answer.text
        == "文件名为 .jpg，但内容是 PNG 图像，不是 JPEG 图像；请改为正确的名称，或选择另一个文件。"
    )
    answer = visit(UPLOADS_TYPES="txt", UPLOADS_MAX_FILE_SIZE=10).upload(
        ("file[0]", "a.exe", EXE),
        ("file[1]", "b.txt", b"x" * 11),
        ("file[2]", "c.txt", b"good"),
        headers=CHINESE,
    )
    assert answer.text.splitlines() == [
        'file[0] "a.exe": 此处不接受 .exe 文件。可接受：文本。',
        'file[1] "b.txt": 文件大小为 11 字节，上限为 10 字节。',
        "另一个文件已保存。",
    ]
    assert answer.headers["Upload-Verdicts"] == "per-part"


def test_a_whole_refusal_and_one_of_the_framework_s_are_said_in_the_reader_s_language(
    visit: Callable[..., Visitor],
) -> None:
    visitor = visit()
    missing = visitor.post(b"", headers=CHINESE)
    assert (missing.text, missing.headers["Upload-Error"]) == (ZH.server["csrf_missing"], "csrf_missing")
    assert "Accept-Language" in missing.headers["Vary"]
    assert visitor.get("/upload", headers=CHINESE).text == "此地址不接受 GET 请求。"
    assert visitor.get("/files/none/none.txt", headers=CHINESE).text == ZH.server["unknown_file"]


def test_what_is_told_before_a_byte_is_sent_is_told_in_the_reader_s_language(
    visit: Callable[..., Visitor],
) -> None:
    visitor = visit(UPLOADS_TYPES="txt")
    answer = visitor.client.post(
        "/upload/check",
        json={"files": [{"uuid": "u", "filename": "a.exe", "size": 1}]},
        headers={"X-CSRFToken": visitor.token(), **CHINESE},
    )
    assert answer.get_json()["uploads"]["u"]["error"] == "此处不接受 .exe 文件。可接受：文本。"
    assert "Accept-Language" in answer.headers["Vary"]


def test_a_recorded_refusal_is_told_to_each_in_their_language(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    fields = [("dzuuid", "u1"), ("dzchunkindex", "0"), ("dztotalfilesize", str(len(EXE)))]
    fields += [("dzchunksize", "1000"), ("dztotalchunkcount", "1"), ("dzchunkbyteoffset", "0")]
    first = visitor.upload(*fields, ("file", "a.png", EXE))
    again = visitor.upload(*fields, ("file", "a.png", EXE), headers=CHINESE)
    assert "its content is a Windows program, not a PNG image" in first.text
    assert (
        again.text
        == "文件名为 .png，但内容是 Windows 程序，不是 PNG 图像；请改为正确的名称，或选择另一个文件。"
    )
    assert visitor.get("/uploads/u1", headers=CHINESE).get_json()["error"] == again.text
    assert visitor.get("/uploads/u1").get_json()["error"] == first.text


def test_a_sentence_of_a_host_s_own_stays_as_it_was_written(tmp_path: Path) -> None:
    def refuse(part: Any) -> None:
        text = "PNG only!"
        raise (
            Rejected(text, translations={"zh": "只接受 PNG！"})
            if part.filename == "b.txt"
            else Rejected(text)
        )

    visitor = host_visitor(tmp_path, UploadSet("texts", ["txt"], checks=[refuse]))
    answer = visitor.upload(("file[0]", "a.txt", b"a"), ("file[1]", "b.txt", b"b"), headers=CHINESE)
    assert answer.text.splitlines()[:2] == ['file[0] "a.txt": PNG only!', 'file[1] "b.txt": 只接受 PNG！']


def test_a_refusal_that_was_written_down_before_there_were_languages_is_told_as_it_was() -> None:
    old = Rejected.loads('{"text": "the file is blue.", "status": 415, "code": "not_text"}')
    assert (old.told("zh"), old.sentence_in("zh")) == ("the file is blue.", "The file is blue.")
    kept = Rejected.loads(Rejected.because("too_large", size=Size(1), limit=Size(2)).dumps())
    assert kept.told("zh") == "文件大小为 1 字节，上限为 2 字节。"
    assert kept.told("en") == "the file is 1 byte; the limit is 2 bytes."


def test_a_script_learns_the_row_of_each_part_whatever_the_language(tmp_path: Path) -> None:
    visitor = every_row(tmp_path)
    names = ["uuid_busy", "extension", "uuid_busy", "not_scanned"]
    items = [(f"file[{index}]", f"{code}.txt", b"x") for index, code in enumerate(names)]
    for headers in ({}, CHINESE):
        answer = visitor.upload(*items, headers=headers)
        assert answer.headers["Upload-Codes"] == "extension=(1), not_scanned=(3), uuid_busy=(0 2)"
        alone = visitor.upload(items[0], headers=headers)
        assert alone.headers["Upload-Codes"] == "uuid_busy=(0)"
        assert "Upload-Error" not in alone.headers


def test_the_rows_of_a_thousand_parts_fit_into_a_proxy_s_headers(tmp_path: Path) -> None:
    def refuse(part: Any) -> None:
        raise Rejected.because("uuid_busy" if part.filename == "0.txt" else "not_scanned")

    many = UploadSet("many", ["txt"], max_parts=1000, checks=[refuse])
    visitor = host_visitor(tmp_path, many)
    answer = visitor.upload(*((f"file[{n}]", f"{n}.txt", b"x") for n in range(1000)))
    assert len(answer.text.splitlines()) == 1001
    assert answer.headers["Upload-Codes"] == "uuid_busy=(0)"
    assert MAX_CODES < 4096


def test_a_file_is_the_same_in_every_language(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    (file,) = visitor.store(("file", "a.png", PNG), headers=CHINESE)
    served = visitor.get(file["url"], headers=CHINESE)
    assert "Content-Language" not in served.headers
    assert "Accept-Language" not in served.headers.get("Vary", "")


def test_a_host_s_own_names_in_templates_do_not_meet_ours(tmp_path: Path) -> None:
    app = Flask("host")
    app.config.from_mapping(
        SECRET_KEY="s",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE="sqlite:///:memory:",
    )
    uploads = Uploads(app, UploadSet("photos", ["png"]))
    app.context_processor(lambda: {"word": "mine", "size": 7, "language": "xx"})
    with app.test_request_context(headers=CHINESE):
        assert "选择文件" in uploads.zone("photos")
    app.extensions["uploads"].records.close()
