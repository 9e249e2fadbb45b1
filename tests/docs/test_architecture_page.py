"""The page on the architecture, and its picture, show the plan that `tests/test_rooms.py` states."""

from __future__ import annotations

import re

import draw_rooms
import pytest
import test_rooms
from pages import DOCS, ROOT, names, rows, sections

from pairchain.registry import groups

PAGE = sections(DOCS / "architecture.md")
CHANGES = rows(PAGE["Where a change belongs"])


def test_the_table_of_rooms_is_the_plan() -> None:
    found: dict[int, set[str]] = {}
    for floor, room, _ in rows(PAGE["Rooms of the core"]):
        found.setdefault(int(floor), set()).update(names(room))
    assert found == {number: set(rooms) for number, rooms in enumerate(test_rooms.CORE, 1)}


@pytest.mark.parametrize(("place", "plan"), [(0, test_rooms.TRANSFORMER), (1, test_rooms.CLI)])
def test_the_tables_of_plugins_are_their_plans(place: int, plan: list[list[str]]) -> None:
    table = PAGE["Rooms of the larger plugins"].split("The rooms of")[place + 1]
    told = [names(room)[0] for room, _ in rows(table)]
    floors = {room: floor for floor, rooms in enumerate(plan) for room in rooms}
    assert sorted(told) == sorted(floors)
    assert [floors[room] for room in told] == sorted(floors.values(), reverse=True)


def test_the_picture_is_drawn_from_the_plan() -> None:
    drawn = draw_rooms.drawing(test_rooms.CORE)
    assert draw_rooms.IMAGE.read_text(encoding="utf-8") == drawn, "run python tests/support/draw_rooms.py"


def test_the_page_names_what_plugins_may_import() -> None:
    told = names(PAGE["What a plugin may import"].partition("Everything")[0])
    assert {name.removeprefix("pairchain.") for name in told} - {"pairchain"} == test_rooms.PROMISED


def test_every_group_of_entry_points_has_a_row() -> None:
    known = {value for name, value in vars(groups).items() if name.endswith("_GROUP")}
    assert {names(row[0])[0] for row in rows(PAGE["Entry points"])} == known


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
def test_each_change_has_one_place_that_exists(change: list[str]) -> None:
    _, place, how = change
    if place == "a new plugin":
        return
    (path,) = names(place)
    assert (ROOT / path).exists()
    for file in [name for name in names(how) if name.endswith(".py")]:
        assert (ROOT / path / file).is_file()


def test_the_files_on_the_path_of_a_call_exist() -> None:
    files = re.findall(r"`([\w/]+\.py)`", PAGE["The path of a call"])
    assert len(files) > 8
    assert [file for file in files if not (draw_rooms.CORE / file).is_file()] == []
