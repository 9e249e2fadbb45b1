"""The files of search: runs, texts, and judgements. Nothing here holds a collection in memory."""
