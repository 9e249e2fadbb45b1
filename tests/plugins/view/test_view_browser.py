"""The page of `pairchain view` in a real browser: loaded, scored with, explained, and looked at."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from browsing import DOCUMENTS, QUERY, fill, opened, score
from PIL import Image, ImageStat
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab
from tiny_models import GOLDEN, load
from viewing import browser_path, viewed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_path() is None, reason="there is no Chromium: playwright install chromium"),
]

RED, BLUE = (GOLDEN / "vlm_llava" / "assets" / f"{name}.png" for name in ("red", "blue"))


def drop(tab: Tab, place: int, path: Path) -> None:
    """Drop a file on a document."""
    script = """content => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(content)], "dropped.png", {type: "image/png"}));
        return files;
    }"""
    files = tab.evaluate_handle(script, list(path.read_bytes()))
    tab.locator("#documents li").nth(place).dispatch_event("drop", {"dataTransfer": files})


def test_documents_are_scored_and_sorted_with_bars_from_the_keyboard_alone(browser: Browser) -> None:
    model = GOLDEN / "bert_seqcls_1label" / "model"
    with opened(browser, model) as tab:
        expect(tab.get_by_label("Query", exact=True)).to_be_focused()
        tab.keyboard.press("Tab")
        expect(tab.get_by_label("A document", exact=True)).to_be_focused()
        fill(tab, QUERY, DOCUMENTS)
        tab.keyboard.press("Control+Enter")
        expect(tab.locator(".hit")).to_have_count(3)
        hits = load(model).rank(QUERY, DOCUMENTS, return_documents=True)
        assert tab.locator(".hit-text").all_inner_texts() == [hit["text"] for hit in hits]
        shown = [float(text.replace("−", "-")) for text in tab.locator(".score").all_inner_texts()]
        assert shown == pytest.approx([hit["score"] for hit in hits], abs=1e-4)
        widths = [box["width"] for bar in tab.locator(".bar i").all() if (box := bar.bounding_box())]
        assert widths == sorted(widths, reverse=True)
        assert widths[0] > 0
        # what a user wrote stays text
        assert tab.locator("b", has_text="yes").count() == 0


def test_a_score_is_explained_word_by_word(browser: Browser) -> None:
    model = GOLDEN / "bert_seqcls_1label" / "model"
    with opened(browser, model) as tab:
        fill(tab, QUERY, DOCUMENTS[:1])
        tab.get_by_role("button", name="Score").click()
        tab.get_by_role("button", name="Why this score").click()
        why = tab.locator(".why")
        expect(why.locator(".words").get_by_role("option")).to_have_count(7 + 4)
        expect(why).to_contain_text("Occlusion")
        whole, without = load(model).predict([(QUERY, DOCUMENTS[0]), (QUERY, "berlin had a ")]).tolist()
        why.get_by_role("option", name="population").hover()
        readout = why.locator(".readout")
        expect(readout).to_contain_text("“population”")
        told = readout.inner_text().replace("−", "-").rpartition("change ")[2]
        assert float(told) == pytest.approx(whole - without, abs=1e-4)
        why.get_by_label("Document, piece by piece").press("ArrowLeft")
        expect(readout).to_contain_text("“a”")
        why.get_by_label("tokens").check()
        expect(why).to_contain_text("other scores")


def test_an_image_is_chosen_dropped_and_scored(browser: Browser) -> None:
    model = GOLDEN / "vlm_llava" / "model"
    with opened(browser, model) as tab:
        fill(tab, "a red square", ["a text", "", ""])
        tab.locator("#documents li").nth(1).locator("input[type=file]").set_input_files(RED)
        drop(tab, 2, BLUE)
        expect(tab.locator("#documents img")).to_have_count(2)
        score(tab, 3)
        expect(tab.locator(".hit-image")).to_have_count(2)
        hits = load(model).rank("a red square", ["a text", str(RED), str(BLUE)])
        shown = [float(text.replace("−", "-")) for text in tab.locator(".score").all_inner_texts()]
        assert shown == pytest.approx([hit["score"] for hit in hits], abs=1e-4)


def test_a_router_is_drawn_as_branches_each_with_its_modules(browser: Browser) -> None:
    with opened(browser, GOLDEN / "router_with_vlm" / "model") as tab:
        routes = tab.locator(".route")
        assert [name.split(" ")[0] for name in tab.locator(".route-name").all_inner_texts()] == ["text", "vlm"]
        assert routes.nth(1).locator("h3").all_inner_texts() == ["Transformer", "LogitScore"]
        expect(routes.nth(1)).to_contain_text("pairchain-logit-score")


def test_an_error_of_the_model_is_shown_in_its_own_words(browser: Browser) -> None:
    with opened(browser, GOLDEN / "router_no_default" / "model") as tab:
        fill(tab, QUERY, DOCUMENTS[:1])
        tab.get_by_role("button", name="Score").click()
        expect(tab.get_by_role("alert").filter(has_text="there is no default route")).to_be_visible()
        tab.get_by_label("Task").select_option(index=1)
        score(tab, 1)
        expect(tab.locator("#error")).to_be_hidden()


def test_a_page_without_its_key_says_where_to_find_it(browser: Browser) -> None:
    with viewed(GOLDEN / "bert_seqcls_1label" / "model") as page:
        tab = browser.new_page()
        tab.goto(page.url.partition("#")[0])
        expect(tab.get_by_role("alert")).to_contain_text("open the full address that `pairchain view` printed")
        expect(tab.locator("#main")).to_be_hidden()
        tab.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_telephone_and_is_drawn_in_light_and_dark(browser: Browser, dark: bool) -> None:
    with opened(browser, GOLDEN / "pooling_mean_3labels" / "model", width=400, dark=dark) as tab:
        fill(tab, QUERY, DOCUMENTS)
        score(tab, 3)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400
        picture = Image.open(io.BytesIO(tab.screenshot(full_page=True))).convert("L")
        assert picture.width == 400
        brightness = ImageStat.Stat(picture).mean[0]
        assert (brightness < 90) if dark else (brightness > 180)
        assert len(picture.getcolors(256) or ()) > 30
