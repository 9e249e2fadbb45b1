"""Tests of NewTypeName."""

from __future__ import annotations

from pairchain.testing import InputModuleContract

from new_plugin_name import NewTypeName


class TestNewTypeName(InputModuleContract):
    """A chain can run, save, load and move the module."""

    def make_module(self) -> NewTypeName:
        return NewTypeName(dimension=8)


def test_a_pair_becomes_the_bytes_of_both_texts() -> None:
    features = NewTypeName(dimension=8).preprocess([("ab", "c"), ("a", "")])

    assert features["byte_ids"].tolist() == [[97, 98, 10, 99], [97, 10, 0, 0]]
    assert features["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
