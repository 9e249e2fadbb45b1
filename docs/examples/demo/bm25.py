"""Writes the run of BM25 that comes with pairchain-search: ``pip install bm25s==0.3.16`` and run this file."""

from __future__ import annotations

from importlib.resources import files

from pairchain.runs import write_run
from pairchain_search.first_stage import bm25_run
from pairchain_search.sample import Sample

sample = Sample.read()
texts = [(name, f"{one['title']} {one['text']}") for name, one in sample.documents.items()]
run = bm25_run(sample.queries, texts, top_k=len(texts))
write_run(run, str(files("pairchain_search") / "demo" / "bm25.trec"), tag="bm25s")
