"""Tokenizers as they were published: parts that transformers 5 puts in place of those of ``tokenizer.json``."""
