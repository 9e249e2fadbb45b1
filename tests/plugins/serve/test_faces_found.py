"""A file in the folder of the faces is all that an API needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_faces import answered, viewed

from pairchain_serve import faces

ACME = """
from pairchain_serve.ask import Ask
from pairchain_serve.face import Face, Reply, View

FACES = (
    Face(
        name="acme",
        paths=("/acme",),
        parse=lambda body: Ask(pairs=((body.text("question"), body.text("answer")),)),
        reply=lambda body, ask, answer: {"fits": answer.scores[0] > 0.5},
        request={},
        response={},
    ),
)
VIEWS = (View(name="acme", paths=("/acme/state",), get=lambda facts: Reply({"state": facts.state})),)
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An API whose file lies in a folder of the package."""
    (tmp_path / "acme.py").write_text(ACME)
    monkeypatch.setattr(faces, "__path__", [*faces.__path__, str(tmp_path)])
    yield
    sys.modules.pop("pairchain_serve.faces.acme", None)


@pytest.mark.usefixtures("acme")
def test_a_new_file_is_a_new_api() -> None:
    assert answered("/acme", {"question": "a", "answer": "b"}, [0.75]) == {"fits": True}
    assert viewed("/acme/state").content == {"state": "ready"}
