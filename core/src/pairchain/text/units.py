"""Sizes and times in words."""

from __future__ import annotations


def bytes_in_words(count: float) -> str:
    """Return a size in words, such as ``1.5 KiB``."""
    for unit in ("bytes", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(nanoseconds: float) -> str:
    """Return a time in words, such as ``12.3 ms``."""
    if nanoseconds >= 1e9:
        return f"{nanoseconds / 1e9:.2f} s"
    return f"{nanoseconds / 1e6:.1f} ms" if nanoseconds >= 1e5 else f"{nanoseconds / 1e6:.2f} ms"
