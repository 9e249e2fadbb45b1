"""Keeps the small files of a checkpoint as they were at the load, for what the library makes of them later."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pairchain import Source
from pairchain.authoring import require_locked
from pairchain.errors import PairchainError
from pairchain_transformer.files.names import PROCESSOR_FILES

T = TypeVar("T")

# What the library may read of a configuration and of a tokenizer that the quick reader knows.
_NAMES = (
    *("config.json", "generation_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tekken.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.model", "sentencepiece.bpe.model"),
    *("chat_template.jinja", "chat_template.json", *PROCESSOR_FILES),
)


@dataclass(frozen=True)
class KeptFiles:
    """The files of a checkpoint, except its weights, at the time of the load.

    Attributes:
        source: The checkpoint.
        content: The bytes of each file, by its path in ``source``.
    """

    source: Source
    content: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, source: Source) -> KeptFiles:
        """Return the files that ``source`` has now; of a repository, those that were downloaded.

        Raises:
            LockError: A file is not what the lock of the load in progress holds.
            UnsafePathError: A file is a link that leads out of the model.
        """
        content = _content(source)
        for name, data in content.items():
            require_locked(source, name, hashlib.sha256(data).hexdigest())
        return cls(source, content)

    def read(self, how: Callable[[Source], T]) -> T:
        """Return the result of ``how`` for a place that has these files, whatever has become of the checkpoint.

        The place is the checkpoint itself as long as nothing has changed, so that paths and errors name it.
        """
        if self._is_as_it_was():
            try:
                found = how(self.source)
            except Exception:
                # it may have changed meanwhile
                if self._is_as_it_was():
                    raise
            else:
                if self._is_as_it_was():
                    return found
        with tempfile.TemporaryDirectory(prefix="pairchain-") as folder:
            for name, data in self.content.items():
                path = Path(folder, self.source.path_of(name))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return how(replace(self.source, name=folder, commit=None, revision=None, listing=None))

    def _is_as_it_was(self) -> bool:
        try:
            now = _content(self.source)
        except PairchainError:
            return False
        if not self.source.is_local:
            # more may have been downloaded since, and a commit never changes
            now = {name: data for name, data in now.items() if name in self.content}
        return now == self.content


def _content(source: Source) -> dict[str, bytes]:
    found = {}
    for name in _NAMES:
        if (path := source.cached(name)) is not None:
            # what cannot be read is told by what needs it
            with suppress(OSError):
                found[name] = path.read_bytes()
    return found
