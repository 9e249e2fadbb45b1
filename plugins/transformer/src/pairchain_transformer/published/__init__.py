"""Restores tokenizers as they were published, where transformers 5 replaces parts of ``tokenizer.json``."""
