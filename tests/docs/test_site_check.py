"""The check of the built site finds what a browser would load from elsewhere, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_site import problems


@pytest.mark.parametrize(
    ("tag", "wrong"),
    [
        ('<a href="there.html#part">x</a> <a href="https://example.org">x</a> <a href="#part">x</a>', 0),
        ('<img src="data:image/png;base64,AA"><img src="a%20b.png#only-dark"><a href="folder/">x</a>', 0),
        ('<img src="https://example.org/a.png">', 1),
        ('<script src="//example.org/a.js"></script>', 1),
        ('<link rel="stylesheet" href="https://example.org/font.css">', 1),
        ('<link rel="canonical" href="https://example.org/">', 0),
        ('<source srcset="gone.png">', 1),
        ('<a href="gone.html">x</a><a href="gone.html#again">x</a>', 2),
    ],
)
def test_what_is_elsewhere_or_missing_is_found(tag: str, wrong: int, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a b.png").touch()
    for name in ("there.html", "404.html"):
        (tmp_path / name).write_text('<a href="gone-too.html">x</a>' * (name == "404.html"))
    (tmp_path / "page.html").write_text(f"<html>{tag}</html>", encoding="utf-8")
    assert len([*problems(tmp_path)]) == wrong
