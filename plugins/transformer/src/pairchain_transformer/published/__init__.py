"""Tokenizers as they were published: parts that transformers 5 puts in place of those of ``tokenizer.json``."""

from __future__ import annotations

from pairchain_transformer.published.choosing import CHOICES as CHOICES
from pairchain_transformer.published.choosing import check_choice as check_choice
from pairchain_transformer.published.choosing import hold_to_published as hold_to_published

__all__ = ["CHOICES", "check_choice", "hold_to_published"]
