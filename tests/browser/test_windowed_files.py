""" "Your files", when they are many: pages by cursor, and of all that was loaded only what is seen."""

import re

import pytest
from browser.samples import until
from browser.test_windowed import ELEMENTS, frame, scroll
from playwright.sync_api import Page, expect

ITEMS = "[data-uploads-files-list] > .uploads-file"


@pytest.fixture
def stored(upload_page: Page) -> Page:
    """The page after two hundred files were stored."""
    upload_page.evaluate("""() => {
      const names = Array.from({ length: 200 }, (_, index) => `file ${index + 1}.txt`);
      document.querySelector(".dropzone").batchUploader.addFiles(names.map((name) => new File([name], name)));
    }""")
    until(upload_page, "document.querySelector('.dropzone').batchUploader.counts.stored === 200")
    expect(upload_page.locator(ITEMS).first).to_have_attribute("aria-setsize", "200")
    return upload_page


def focused(page: Page) -> str:
    found: str = page.evaluate(
        "document.activeElement.closest('.uploads-file')?.querySelector('.uploads-file-name').textContent ?? ''"
    )
    return found


def test_what_is_stored_is_all_there_and_only_what_is_seen_in_the_document(stored: Page) -> None:
    assert stored.locator(ITEMS).count() < 64
    assert stored.evaluate(ELEMENTS) < 1000
    names = set()
    for top in range(0, 16_000, 700):
        scroll(stored, str(top))
        names |= set(stored.locator(f"{ITEMS} .uploads-file-name").all_text_contents())
    assert len(names) == 200


def test_pages_loaded_one_after_the_other_stay_few_elements(stored: Page) -> None:
    stored.reload()
    stored.locator("[data-uploads-ready]").wait_for()
    more = stored.get_by_role("link", name="Show more")
    for loaded in (100, 150, 200):
        more.click()
        expect(stored.locator(ITEMS).last).to_have_attribute("aria-setsize", str(loaded))
        assert stored.locator(ITEMS).count() < 64
        place = stored.evaluate("document.activeElement.closest('.uploads-file').ariaPosInSet")
        assert int(place) == loaded - 49, "the focus is not on the first that came"
    expect(more).to_have_count(0)
    scroll(stored, "document.body.scrollHeight")
    expect(stored.locator(ITEMS).last).to_be_in_viewport()


def test_deleting_far_down_goes_on_with_the_next_and_a_question_stays_while_it_is_out_of_sight(
    stored: Page,
) -> None:
    scroll(stored, "6000")
    # By name and in the middle of the window: what comes into the document for a click moves what is counted there.
    name, after = stored.locator(ITEMS).evaluate_all(
        """(items) => {
          const seen = items.findIndex((item) => item.getBoundingClientRect().top > innerHeight / 2);
          return [items[seen], items[seen + 1]].map((item) => item.querySelector(".uploads-file-name").textContent);
        }"""
    )
    stored.get_by_role("button", name=f"Delete {name}", exact=True).click()
    scroll(stored, "0")
    scroll(stored, "6000")
    asking = stored.locator(ITEMS).filter(has=stored.get_by_role("group"))
    expect(asking.locator(".uploads-file-name")).to_have_text(name)
    asking.get_by_role("button", name="Delete", exact=True).click()
    expect(stored.locator(ITEMS).first).to_have_attribute("aria-setsize", "199")
    assert focused(stored) == after
    frame(stored)
    expect(stored.locator(ITEMS).filter(has_text=re.compile(f"^{re.escape(name)}$"))).to_have_count(0)
