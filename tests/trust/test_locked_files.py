"""A file that the check of a lock left out is compared when a plugin reads it."""

from __future__ import annotations

import pytest

from pairchain import Source
from pairchain.authoring import allowing, guarding, require_locked
from pairchain.errors import LockError
from pairchain.trust.lock import Lock
from pairchain.trust.policies import policy_of

MODEL = Source("owner/name", commit="0" * 40, subfolder="inside")
LOCK = Lock("owner/name", "0" * 40, {"0_Part/onnx/model.onnx": "a" * 64})


def test_a_file_must_be_the_locked_one() -> None:
    place = MODEL.within("0_Part")
    with allowing(policy_of(False, False, None, LOCK)), guarding(place, MODEL):
        require_locked(place, "onnx/model.onnx", "a" * 64)
        with pytest.raises(LockError, match=r"inside/0_Part/onnx/model\.onnx differs from the lock"):
            require_locked(place, "onnx/model.onnx", "b" * 64)
        with pytest.raises(LockError, match=r"model_O3\.onnx is not in the lock") as caught:
            require_locked(place, "onnx/model_O3.onnx", "a" * 64)
    assert caught.value.mismatches == ("the file inside/0_Part/onnx/model_O3.onnx is not in the lock",)


def test_without_a_lock_any_file_may_be_read() -> None:
    require_locked(MODEL, "onnx/model.onnx", "b" * 64)
