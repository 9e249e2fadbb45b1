"""Drives the page of `pairchain view` in a browser without a window, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, expect
from playwright.sync_api import Page as Tab
from viewing import Page, viewed

# how long a busy machine may take is not what is tested
expect.set_options(timeout=60_000)

QUERY = "how many people live in berlin ?"
DOCUMENTS = ["berlin had a population", "<b>yes</b> & no", "a monkey is playing drums ."]


@contextmanager
def opened(browser: Browser, model: Path | Page, *, width: int = 1280, dark: bool = False) -> Iterator[Tab]:
    """Open the page of a model, or one that is served already; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    asked: list[str] = []
    with nullcontext(model) if isinstance(model, Page) else viewed(model) as page:
        size = {"width": width, "height": 900}
        tab = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
        tab.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.url)
        expect(tab.locator("#main")).to_be_visible()
        yield tab
        tab.close()
    home = page.url.partition("#")[0]
    assert [url for url in asked if not url.startswith((home, "blob:", "data:"))] == []
    assert complaints == []


def _is_complaint(message: ConsoleMessage) -> bool:
    # the browser also logs a refusal, which the page shows in words
    return message.type == "error" and "400 (Bad Request)" not in message.text


def fill(tab: Tab, query: str, documents: list[str]) -> None:
    """Type a query and documents, and press the keys that start the next field."""
    tab.get_by_label("Query", exact=True).fill(query)
    tab.get_by_label("A document", exact=True).first.focus()
    for place, text in enumerate(documents):
        if place:
            tab.keyboard.press("Enter")
        tab.keyboard.insert_text(text)


def score(tab: Tab, documents: int) -> None:
    """Click Score, and wait for the scores of so many documents."""
    tab.get_by_role("button", name="Score", exact=True).click()
    expect(tab.locator(".hit")).to_have_count(documents)
