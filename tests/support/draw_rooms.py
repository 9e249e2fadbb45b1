"""Draw the plan in `tests/test_rooms.py` as `docs/images/rooms.svg`: ``python tests/support/draw_rooms.py``."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
IMAGE = TESTS.parent / "docs" / "images" / "rooms.svg"
CORE = TESTS.parent / "core" / "src" / "pairchain"

WIDTH, LEFT, HEIGHT, STEP = 900, 120, 32, 42
PLUGINS = ("transformer", "router", "dense, …", "cli", "view, trace", "your plugin")
DARK, LIGHT, TEXT = "#1f3b57", "#ffffff", "#1d2b38"


def drawing(plan: list[list[str]]) -> str:
    """Return the picture of a plan, whose first floor is the ground."""
    floors = [(number, rooms) for number, rooms in enumerate(plan, 1)][::-1]
    bottom = 104 + STEP * len(floors)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 24}" '
        'font-family="system-ui, sans-serif" role="img">',
        "  <title>The rooms of the core, one floor above the other, with the plugins on top</title>",
        "  <desc>Each room imports only rooms on lower floors. Public modules are dark, private folders are light."
        "</desc>",
        f'  <rect x="1" y="1" width="{WIDTH - 2}" height="{bottom + 22}" rx="12" fill="#f6f8fa" stroke="#d5dde5"/>',
        *row(24, "plugins", PLUGINS, public=()),
        f'  <text x="{(LEFT + WIDTH - 20) / 2:.0f}" y="82" font-size="13" fill="#a2440f" text-anchor="middle">'
        "plugins import public modules only ↓ each room imports lower floors only</text>",
    ]
    for place, (number, rooms) in enumerate(floors):
        public = [room for room in rooms if is_public(room)]
        lines += row(98 + STEP * place, f"floor {number}", rooms, public=public)
    return "\n".join([*lines, "</svg>", ""])


def is_public(room: str) -> bool:
    """Whether the names of a room are promised."""
    return room in ("registry", "testing") or ((CORE / f"{room}.py").exists() and not room.startswith("_lazy"))


def row(top: int, label: str, rooms: tuple[str, ...] | list[str], *, public: tuple[str, ...] | list[str]) -> list[str]:
    """Return one floor: its label and its rooms, side by side."""
    gap = 10
    width = (WIDTH - 20 - LEFT - gap * (len(rooms) - 1)) / len(rooms)
    found = [f'  <text x="20" y="{top + 21}" font-size="13" font-weight="600" fill="{DARK}">{label}</text>']
    for place, room in enumerate(rooms):
        left = LEFT + place * (width + gap)
        fill, ink = (DARK, LIGHT) if room in public else (LIGHT, TEXT)
        found += [
            f'  <rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" rx="6" fill="{fill}" '
            'stroke="#b9c6d2"/>',
            f'  <text x="{left + width / 2:.1f}" y="{top + 21}" font-size="14" fill="{ink}" text-anchor="middle">'
            f"{room}</text>",
        ]
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    import test_rooms

    IMAGE.write_text(drawing(test_rooms.CORE), encoding="utf-8")
