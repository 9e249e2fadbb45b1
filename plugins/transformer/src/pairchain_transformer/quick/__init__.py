"""Reads texts with the tokenizers library alone, where the transformers library would give exactly the same tokens."""
