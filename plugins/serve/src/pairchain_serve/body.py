"""Reads the fields of a request's JSON object. Null counts as absent, and unknown fields are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairchain_serve.ask import Refusal, empty, invalid


class Body:
    """A JSON object with typed readers. Each raises a `Refusal` that names the field.

    Args:
        values: The decoded object.
        agent: The request's ``User-Agent``.

    Attributes:
        values: The decoded object.
        agent: The request's ``User-Agent``; empty without one.
    """

    def __init__(self, values: Mapping[str, Any], agent: str = "") -> None:
        self.values = values
        self.agent = agent

    def has(self, name: str) -> bool:
        """Return whether the field is there and not null."""
        return self.values.get(name) is not None

    def get(self, name: str) -> Any:
        """Return the field as it is, or None."""
        return self.values.get(name)

    def text(self, name: str) -> str:
        """Return a field that must be a text."""
        text = self.text_or_none(name)
        if text is None:
            raise invalid(f"the field `{name}` is missing.", argument=name)
        return text

    def text_or_none(self, name: str) -> str | None:
        """Return a text, or None without one."""
        value = self.values.get(name)
        return None if value is None else checked_text(value, f"`{name}`", name)

    def items(self, name: str) -> list[Any]:
        """Return a field that must be a list of at least one item."""
        value = self.values.get(name)
        if value is None:
            raise invalid(f"the field `{name}` is missing.", argument=name)
        if not isinstance(value, list):
            raise invalid(f"`{name}` must be a list, not {kind_of(value)}.", argument=name)
        if not value:
            raise empty(f"`{name}` is empty; pass at least one item.", argument=name)
        return value

    def texts(self, name: str) -> list[str]:
        """Return a field that must be a list of at least one text."""
        return [
            checked_text(value, f"item {number} of `{name}`", name, number)
            for number, value in enumerate(self.items(name))
        ]

    def whole(self, name: str, *, least: int = 0, default: int | None = None) -> int | None:
        """Return a whole number of at least ``least``, or ``default`` without one."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise invalid(f"`{name}` must be a whole number, not {kind_of(value)}.", argument=name)
        if value < least:
            raise invalid(f"`{name}` is {value}; it must be at least {least}.", argument=name)
        return value

    def number(self, name: str, *, default: float) -> float:
        """Return a number, or ``default`` without one."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise invalid(f"`{name}` must be a number, not {kind_of(value)}.", argument=name)
        return float(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return true or false, or ``default`` without either."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(f"`{name}` must be true or false, not {kind_of(value)}.", argument=name)
        return value

    def choice(self, name: str, among: tuple[str, ...], *, default: str | None = None) -> str | None:
        """Return one of ``among``, whatever its case, or ``default`` without it."""
        value = self.text_or_none(name)
        if value is None:
            return default
        for known in among:
            if value.lower() == known.lower():
                return known
        raise invalid(f"`{name}` is {value[:40]!r}; it must be one of {', '.join(among)}.", argument=name)

    def object(self, name: str) -> Body:
        """Return a field that must be an object."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise invalid(f"`{name}` must be an object, such as {{}}, not {kind_of(value)}.", argument=name)
        return Body(value, self.agent)

    def named(self, names: tuple[str, ...]) -> str | None:
        """Return the first of ``names`` that is there and not null, or None."""
        return next((name for name in names if self.has(name)), None)


def checked_text(value: Any, shown: str, argument: str | None = None, index: int | None = None) -> str:
    """Return ``value`` if it is a text that can be encoded.

    Raises:
        Refusal: It is something else, or contains an unpaired surrogate.
    """
    if not isinstance(value, str):
        raise invalid(f"{shown} must be a string, not {kind_of(value)}.", argument=argument, index=index)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        message = f"{shown} contains an unpaired surrogate (invalid Unicode)."
        raise Refusal(422, "Tokenizer", message, argument=argument, index=index) from error
    return value


def kind_of(value: Any) -> str:
    """Return what JSON calls the kind of ``value``."""
    names: dict[type, str] = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
