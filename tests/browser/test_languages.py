"""A browser that wants Chinese: page, script and server say the same language, and nothing of another."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import drop, finished, write
from playwright.sync_api import Page, expect
from support import LiveServer

#: What is called so in every language.
PROPER = re.compile(
    r"[a-z]*\.(?:txt|png|exe)|(?<![A-Za-z])(?:JPEG|PNG|GIF|WebP|AVIF|HEIC|BMP|TIFF|PDF|Word|Excel|PowerPoint|OpenDocument"
    r"|RTF|EPUB|Gnumeric|AbiWord|Markdown|MP[34]|WAV|FLAC|M4A|AAC|Ogg|Opus|QuickTime|WebM|Matroska|AVI|MPEG|3GP|CSV|TSV"
    r"|JSON|XML|YAML|TOML|INI|plist|Windows|[KMG]B)(?![A-Za-z])"
)
SAID = """() => {
  const said = [document.title];
  for (const node of document.querySelectorAll("body *")) {
    if (!node.checkVisibility({visibilityProperty: true})) continue;
    for (const name of ["aria-label", "title", "alt", "aria-valuetext", "placeholder"]) {
      if (node.hasAttribute(name)) said.push(node.getAttribute(name));
    }
    for (const child of node.childNodes) if (child.nodeType === 3) said.push(child.data);
  }
  return said.filter((text) => text.trim() !== "");
}"""


def foreign(page: Page) -> list[str]:
    """What is said on the page, to the eye or to a screen reader, in letters of another script."""
    return [text for text in page.evaluate(SAID) if re.search("[A-Za-z]{2}", PROPER.sub("", text))]


@pytest.fixture
def page_in_chinese(new_page: Callable[..., Any], server: LiveServer) -> Page:
    page: Page = new_page(locale="zh-CN")
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    return page


def test_all_main_states_are_in_chinese(page_in_chinese: Page, tmp_path: Path) -> None:
    page = page_in_chinese
    assert foreign(page) == [], "empty"
    expect(page.get_by_role("button", name="选择文件", exact=True)).to_be_visible()

    held: list[Any] = []
    page.route("**/upload/*", lambda route: held.append(route), times=1)
    drop(page, *write(tmp_path, {"a.txt": b"1", "b.txt": b"2", "c.png": b"no", "d.exe": b"MZ"}))
    page.locator(".dz-processing").first.wait_for()
    assert foreign(page) == [], "busy"
    held[0].continue_()
    finished(page, 4)
    expect(page.locator("[data-uploads-summary-words]")).to_have_text("已保存 2 个，被拒绝 2 个。")
    expect(page.locator("[data-uploads-live]")).to_have_text("已保存 2 个，被拒绝 2 个。")
    messages = page.locator(".dz-error [data-dz-errormessage]")
    expect(messages.filter(has_text="此处不接受 .exe 文件。可接受：")).to_have_count(1)
    expect(messages.filter(has_text="文件名为 .png，但内容")).to_have_count(1)
    page.get_by_role("button", name="删除").first.click()
    assert foreign(page) == [], "mixed, and deleting"
    page.get_by_role("button", name="撤销这次上传").click()
    assert foreign(page) == [], "undoing"


@pytest.mark.parametrize(
    ("status", "said"),
    [(503, "服务器正忙。"), (401, "您已退出登录。"), (507, "服务器空间已满。"), (0, "已暂停。")],
)
def test_what_keeps_the_queue_waiting_is_said_in_chinese(
    page_in_chinese: Page, tmp_path: Path, status: int, said: str
) -> None:
    page = page_in_chinese
    answer = {"status": status or 500, "content_type": "text/plain; charset=utf-8", "body": "不行。"}
    page.route("**/upload/*", lambda route: route.fulfill(**answer))
    if status == 401:
        page.route("**/csrf-token", lambda route: route.fulfill(**answer))
    page.evaluate("document.querySelector('.dropzone').batchUploader.batches.packer.maxParts = 1")
    page.evaluate("document.querySelector('.dropzone').batchUploader.parallel = 1")
    if not status:
        page.evaluate("document.querySelector('.dropzone').batchUploader.pause()")
    drop(page, *write(tmp_path, {"a.txt": b"1", "b.txt": b"2"}))
    expect(page.locator("[data-uploads-banner]")).to_contain_text(said)
    assert foreign(page) == []


def test_offline_is_said_in_chinese(page_in_chinese: Page, tmp_path: Path) -> None:
    page_in_chinese.context.set_offline(True)
    drop(page_in_chinese, *write(tmp_path, {"a.txt": b"1"}))
    expect(page_in_chinese.locator("[data-uploads-banner]")).to_contain_text("您已离线。1 个文件正在等待")
    assert foreign(page_in_chinese) == []


def test_without_a_script_all_is_in_chinese_too(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = new_page(java_script_enabled=False, locale="zh-CN")
    page.goto(server.url)
    page.get_by_label("要上传的文件").set_input_files(write(tmp_path, {"a.txt": b"1", "d.exe": b"MZ"}))
    page.get_by_role("button", name="上传", exact=True).click()
    page.wait_for_url("**/batches/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("已保存 1 个，被拒绝 1 个")
    expect(page.get_by_text("此处不接受 .exe 文件。可接受：")).to_be_visible()
    assert page.get_attribute("html", "lang") == "zh"


def test_a_language_that_is_not_served_leaves_english(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = new_page(locale="zh-CN")
    page.route("**/languages/zh.js", lambda route: route.abort())
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    drop(page, *write(tmp_path, {"a.txt": b"1"}))
    finished(page, 1)
    expect(page.locator("[data-uploads-summary-words]")).to_have_text("1 stored.")
