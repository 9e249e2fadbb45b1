"""Fails if a page of the built site loads something from elsewhere, or shows or links to a file that is not there.

``python tools/check_site.py site``. The site generator checks links between pages, but neither pictures nor HTML.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# what a browser loads by itself, and the attribute that says where from; of `link`, only some
LOADED = {"img": "src", "script": "src", "source": "srcset", "iframe": "src", "video": "src", "audio": "src"}
LOADING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "manifest"}


class References(HTMLParser):
    """Collects what a page loads, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of a tag."""
        values = dict(attrs)
        if tag in LOADED and (address := values.get(LOADED[tag])):
            self.loads.append(address)
        elif address := values.get("href"):
            is_loaded = tag == "link" and not LOADING_LINKS.isdisjoint((values.get("rel") or "").split())
            (self.loads if is_loaded else self.links).append(address)


def problems(site: Path) -> Iterator[str]:
    """Yield a line for each reference of a page that is wrong."""
    for page in sorted(site.rglob("*.html")):
        found = References()
        found.feed(page.read_text(encoding="utf-8"))
        name = page.relative_to(site)
        yield from (f"{name} loads {address}" for address in found.loads if is_elsewhere(address))
        for address in {*found.loads, *found.links}:
            path = "" if address.startswith("data:") else unquote(urlsplit(address).path)
            # the page for missing pages may be shown from any place
            if path and not is_elsewhere(address) and name.name != "404.html" and not (page.parent / path).exists():
                yield f"{name} refers to {address}, which is missing"


def is_elsewhere(address: str) -> bool:
    """Return whether an address leads out of the site; pictures in the page itself do not."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def main(site: Path) -> int:
    """Print all problems; return 1 if there are any."""
    found = list(problems(site))
    print("\n".join(found) or "every reference leads to a file of the site")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
