"""Writes the run of BM25 that comes with pairchain-search: ``pip install bm25s==0.3.16`` and run this file."""

from __future__ import annotations

from importlib.resources import files

import bm25s

from pairchain.runs import write_run
from pairchain_search.sample import Sample

sample = Sample.read()
names = list(sample.documents)
texts = [f"{one['title']} {one['text']}" for one in sample.documents.values()]
index = bm25s.BM25()
index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
run = {}
for query_id, question in sample.queries.items():
    tokens = bm25s.tokenize([question], stopwords="en", show_progress=False)
    found, scores = index.retrieve(tokens, k=len(names), show_progress=False)
    run[query_id] = {names[place]: float(score) for place, score in zip(found[0], scores[0], strict=True)}
write_run(run, str(files("pairchain_search") / "demo" / "bm25.trec"), tag="bm25s")
