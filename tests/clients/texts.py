"""The query and the documents that every client ranks; the server's process reads them too."""

from __future__ import annotations

QUERY = "how many people live in berlin ?"
_PARTS = ["berlin had a population", "yes no", "how many people", "x y", "of 3520031 .", "live in a", "what is the"]
# twenty texts that differ, so that their scores do
DOCUMENTS = [" ".join(_PARTS[(number * step) % 7] for step in range(1, 2 + number // 7)) for number in range(1, 21)]
KEY = "secret-of-the-tests"
# limits of the server under test
MOST_WAITING = 20
MOST_TEXTS = 30
