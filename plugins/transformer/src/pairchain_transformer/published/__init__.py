"""Tokenizers as they were published: parts that transformers 5 puts in place of those of ``tokenizer.json``."""

from __future__ import annotations

from pairchain_transformer.published.choosing import CHOICES as CHOICES
from pairchain_transformer.published.choosing import check_choice as check_choice
from pairchain_transformer.published.choosing import hold_to_published as hold_to_published
from pairchain_transformer.published.choosing import save_class as save_class

__all__ = ["CHOICES", "check_choice", "hold_to_published", "save_class"]
