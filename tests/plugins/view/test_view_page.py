"""The page of `pairchain view` as it is seen and used: what is in view, at what scale, in which width, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import DOCUMENTS, QUERY, fill, opened, score
from playwright.sync_api import Browser, Locator, expect
from playwright.sync_api import Page as Tab
from tiny_models import GOLDEN, load
from viewing import Page, browser_path, viewed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_path() is None, reason="there is no Chromium: playwright install chromium"),
]

SIGMOID = GOLDEN / "bert_seqcls_1label" / "model"
WIDTHS = (1280, 768, 360)
SENTENCE = "berlin had a population of people and it is well known for its museums . "


@pytest.fixture(scope="module")
def sigmoid() -> Iterator[Page]:
    """The page of a model with one score, between 0 and 1."""
    with viewed(SIGMOID) as page:
        yield page


def findings(tab: Tab, state: str) -> list[str]:
    """Return what axe finds on the page as it is, at three widths, in light and dark."""
    found = []
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.emulate_media(color_scheme=scheme)
            for violation in Axe().run(tab).response["violations"]:
                nodes = [node["target"] for node in violation["nodes"]]
                found.append(f"{state}, {width} pixels, {scheme}: {violation['id']} at {nodes}")
    return found


def explained(tab: Tab) -> Locator:
    """Open the explanation of the best score, and all its changes, and return it."""
    tab.get_by_role("button", name="Why this score").first.click()
    why = tab.locator(".why").first
    expect(why.locator(".words")).to_have_count(2)
    why.get_by_text("All changes").click()
    return why


def strengths(why: Locator) -> list[float]:
    """Return how strongly each piece is coloured, in percent."""
    coloured = why.locator(".raises[role=option], .lowers[role=option]").all()
    return [float(str(one.evaluate("it => it.style.getPropertyValue('--much')")).rstrip("%")) for one in coloured]


def shares(tab: Tab) -> list[float]:
    """Return how much of its track each bar fills, in percent."""
    return [float(str(one.evaluate("it => it.style.width")).rstrip("%")) for one in tab.locator(".bar i").all()]


def test_axe_finds_nothing_in_light_and_dark_at_three_widths(browser: Browser) -> None:
    with opened(browser, GOLDEN / "pooling_mean_3labels" / "model") as tab:
        found = findings(tab, "empty")
        fill(tab, QUERY, [*DOCUMENTS, SENTENCE * 8])
        score(tab, 4)
        explained(tab).get_by_label("colours over").select_option("fit")
        tab.locator(".module summary").first.click()
        found += findings(tab, "explained")
        tab.get_by_role("button", name="Clear").click()
        tab.get_by_role("button", name="Score", exact=True).click()
        expect(tab.locator("#error")).to_be_visible()
        found += findings(tab, "refused")
    assert found == []


@pytest.mark.parametrize("case", ["router_with_vlm", "custom_temperature_module"])
def test_axe_finds_nothing_on_routes_fields_for_images_and_code_that_was_allowed(case: str, browser: Browser) -> None:
    with viewed(GOLDEN / case / "model", "--trust-remote-code", "any") as page, opened(browser, page) as tab:
        assert findings(tab, "empty") == []


def test_the_fields_fit_their_texts_at_load_and_in_every_width(browser: Browser, sigmoid: Page) -> None:
    script = "() => [...document.querySelectorAll('.field textarea')].map(one => [one.clientHeight, one.scrollHeight])"
    with opened(browser, sigmoid) as tab:
        (query, _), (document, _) = tab.evaluate(script)
        assert query == document > 20
        fill(tab, SENTENCE, [SENTENCE, SENTENCE * 2])
        wide = tab.evaluate(script)
        for width, taller in ((360, True), (1280, False)):
            tab.set_viewport_size({"width": width, "height": 900})
            before = wide[2][0]
            tab.wait_for_function(
                f"() => document.querySelectorAll('.field textarea')[2].clientHeight {'>' if taller else '=='} {before}"
            )
            assert all(seen >= needed for seen, needed in tab.evaluate(script))
        assert tab.evaluate(script) == wide


def test_the_scores_are_in_view_however_long_the_form_is(browser: Browser, sigmoid: Page) -> None:
    script = "() => ['#results', '#form'].map(name => document.querySelector(name).getBoundingClientRect().top)"
    with opened(browser, sigmoid) as tab:
        fill(tab, QUERY, [f"{SENTENCE} {number}" for number in range(15)])
        for width, height in [(1280, 900), (1280, 600), (768, 900), (360, 640)]:
            tab.set_viewport_size({"width": width, "height": height})
            tab.get_by_role("button", name="Score", exact=True).scroll_into_view_if_needed()
            score(tab, 15)
            tab.wait_for_function(
                f"() => document.querySelector('#results').getBoundingClientRect().top < {height / 2}"
            )
            results, form = tab.evaluate(script)
            assert results >= 0 or width > 1000
            assert (results == form) == (width > 1000)


def test_bars_span_what_the_scores_can_be_unless_they_are_to_fit(browser: Browser, sigmoid: Page) -> None:
    with opened(browser, sigmoid) as tab:
        fill(tab, QUERY, DOCUMENTS)
        score(tab, 3)
        scores = sorted(load(SIGMOID).predict([(QUERY, text) for text in DOCUMENTS]).tolist(), reverse=True)
        expect(tab.locator("#scale-ends")).to_have_text("from 0 to 1")
        assert shares(tab) == pytest.approx([100 * value for value in scores], abs=0.1)
        tab.get_by_label("bars over").select_option("fit")
        expect(tab.locator("#scale-ends")).to_contain_text(f"from {scores[-1]:.4f} to")
        assert (shares(tab)[0], shares(tab)[-1]) == (100, 0)
        # scores before the activation have no ends, and small ones stay small
        tab.get_by_label("bars over").select_option("range")
        tab.get_by_label("before Sigmoid").check()
        score(tab, 3)
        expect(tab.locator("#scale-ends")).to_have_text("from −1 to 1")


def test_colours_span_what_a_change_can_be_unless_they_are_to_fit(browser: Browser, sigmoid: Page) -> None:
    with opened(browser, sigmoid) as tab:
        fill(tab, QUERY, DOCUMENTS[:1])
        score(tab, 1)
        why = explained(tab)
        expect(why.locator(".legend")).to_contain_text("strongest at ±0.5; largest here 0.0")
        assert 0 < max(strengths(why)) < 20
        why.get_by_label("colours over").select_option("fit")
        assert max(strengths(why)) == 100
        # what was explained stays when the bars change
        tab.get_by_label("bars over").select_option("fit")
        assert max(strengths(why)) == 100
        expect(why.locator(".legend")).not_to_contain_text("±0.5")


@pytest.mark.parametrize(("shift", "is_told"), [(0.0, False), (8.0, True), (-8.0, True)])
def test_an_activation_is_said_to_flatten_only_near_its_ends(
    shift: float, is_told: bool, browser: Browser, tmp_path: Path
) -> None:
    model = load(SIGMOID)
    model[0].model.classifier.bias.data += shift
    model.save_pretrained(tmp_path)
    with opened(browser, tmp_path) as tab:
        fill(tab, QUERY, DOCUMENTS[1:2])
        score(tab, 1)
        why = explained(tab)
        expect(why.get_by_text("Sigmoid flattens scores near its ends")).to_have_count(int(is_told))


def test_nothing_of_an_explanation_is_hidden_in_a_box_that_scrolls(browser: Browser, sigmoid: Page) -> None:
    script = """why => [...why.querySelectorAll('*')]
        .filter(one => one.tagName !== 'SELECT' && getComputedStyle(one).overflowY !== 'visible')
        .map(one => `${one.tagName} ${one.className}`)"""
    with opened(browser, sigmoid) as tab:
        fill(tab, QUERY, [SENTENCE * 6])
        score(tab, 1)
        why = explained(tab)
        assert why.locator("tbody tr").count() > 80
        assert why.evaluate(script) == []
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_focus_stays_where_it_was_when_scoring_fails(browser: Browser, sigmoid: Page) -> None:
    with opened(browser, sigmoid) as tab:
        button = tab.get_by_role("button", name="Score", exact=True)
        button.focus()
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("alert").filter(has_text="there are no documents")).to_be_visible()
        expect(button).to_be_focused()
        fill(tab, QUERY, DOCUMENTS[:1])
        button.click()
        expect(tab.locator(".hit")).to_have_count(1)
        expect(button).to_be_focused()


def test_the_focus_moves_to_what_takes_the_place_of_a_button(browser: Browser) -> None:
    with opened(browser, GOLDEN / "vlm_llava" / "model") as tab:
        document = tab.locator("#documents li").first
        document.get_by_role("button", name="Image").focus()
        document.locator("input[type=file]").set_input_files(GOLDEN / "vlm_llava" / "assets" / "red.png")
        remove = document.get_by_role("button", name="Remove the image")
        expect(remove).to_be_focused()
        remove.click()
        expect(document.get_by_role("button", name="Image")).to_be_focused()


def test_a_reload_keeps_what_was_typed_and_chosen(browser: Browser, sigmoid: Page) -> None:
    with opened(browser, sigmoid) as tab:
        fill(tab, QUERY, DOCUMENTS)
        tab.locator("#prompt").select_option("own")
        tab.get_by_label("Custom prompt").fill("a prompt")
        tab.get_by_label("before Sigmoid").check()
        tab.reload()
        expect(tab.get_by_label("Query", exact=True)).to_have_value(QUERY)
        assert [one.input_value() for one in tab.get_by_label("A document", exact=True).all()] == DOCUMENTS
        expect(tab.get_by_label("Custom prompt")).to_have_value("a prompt")
        expect(tab.get_by_label("before Sigmoid")).to_be_checked()
        tab.get_by_role("button", name="Clear").click()
        tab.reload()
        expect(tab.get_by_label("Query", exact=True)).to_have_value("")
