"""The bytes of a graph's files, read once, so that what was checked is what runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pairchain import Source
from pairchain.authoring import bytes_in_words, require_locked
from pairchain.errors import FormatError, LockError, SourceError

# protobuf's own limit; a graph keeps larger weights in files beside it
MOST_BYTES_OF_A_GRAPH = 2**31 - 1


@dataclass(frozen=True)
class Content:
    """A graph and the files of weights that it names.

    Attributes:
        name: The model and the file, for errors.
        main: The bytes of the graph; empty once `forgotten`.
        weights: The bytes of each file of weights, by the name that the graph gives it.
        places: The local path and the SHA-256 of each file, under None for the graph; empty if only in memory.
    """

    name: str
    main: bytes
    weights: Mapping[str, bytes] = field(default_factory=dict)
    places: Mapping[str | None, tuple[Path, str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return len(self.main) + sum(map(len, self.weights.values()))

    def with_weights(self, source: Source, paths: Mapping[str, str]) -> Content:
        """Return this content with the files at ``paths`` in ``source``, by the names that the graph gives them."""
        found = {name: _read(source, path, most=None) for name, path in paths.items()}
        return replace(
            self,
            weights={name: data for name, (data, _, _) in found.items()},
            places={**self.places, **{name: (place, digest) for name, (_, place, digest) in found.items()}},
        )

    def forgotten(self) -> Content:
        """Return the content without bytes, if they can be read `again`."""
        return replace(self, main=b"", weights={}) if self.places else self

    def again(self) -> Content:
        """Return the content with its bytes.

        Raises:
            LockError: A file changed since it was read first.
            SourceError: A file was deleted, or cannot be read.
        """
        if self.main:
            return self
        data = {}
        for key, (path, digest) in self.places.items():
            try:
                data[key] = path.read_bytes()
            except OSError as error:
                raise SourceError(
                    f"{path} can no longer be read ({error.strerror}), and a graph is opened again for another number "
                    "of threads and in other processes.",
                    where=self.name,
                    next_step="load the model again.",
                ) from error
            if hashlib.sha256(data[key]).hexdigest() != digest:
                raise LockError(
                    f"{path} changed since the model was loaded.",
                    where=self.name,
                    next_step="load the model again.",
                    mismatches=(f"the file {path} changed",),
                )
        return replace(self, main=data.pop(None), weights={str(key): value for key, value in data.items()})


def read_content(source: Source, path: str) -> Content:
    """Return the content of the graph at ``path``, without its weights.

    Raises:
        FormatError: It is empty, or larger than a graph can be.
        LockError: It is not what the lock of the load in progress holds.
        SourceError: It cannot be read.
    """
    data, place, digest = _read(source, path, most=MOST_BYTES_OF_A_GRAPH)
    return Content(f"{path} of {source}", data, {}, {None: (place, digest)})


def _read(source: Source, path: str, *, most: int | None) -> tuple[bytes, Path, str]:
    place = source.require(path)
    size = place.stat().st_size
    if most is not None and not 0 < size <= most:
        raise FormatError(
            f"{path} is {'empty' if not size else bytes_in_words(size)}, and cannot be a graph.",
            where=str(source),
            next_step="save or fetch the model again.",
        )
    data = place.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    # verifying a lock does not download files for other libraries, so this one may not have been compared
    require_locked(source, path, digest)
    return data, place, digest
