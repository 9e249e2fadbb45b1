"""Checks of a module's forward: the features that it reads and writes, and that pairs do not affect each other."""

from __future__ import annotations

from typing import Any

import torch

from pairchain.chain.module import Features
from pairchain.chain.parts import speaks_for_forward
from pairchain.chain.threads import may_run_at_once
from pairchain.facts import SCORES
from pairchain.testing import part_checks, threads
from pairchain.testing.author import Author
from pairchain.testing.features import MASK, ROUNDING, Watched, copied, difference, padded_before
from pairchain.testing.subject import Subject
from pairchain.testing.words import broken, listed

# Sets of names, for which a single string is a common mistake.
_NAME_ATTRIBUTES = ("reads", "writes", "forward_kwargs", "config_keys", "offers_parts")
_FOREIGN = "feature_of_another_module"


class ComputingChecks(Author):
    """Checks of a module's forward; see `ModuleContract`."""

    def test_it_is_a_module(self) -> None:
        """An instance with forward, save and load, and names where names belong."""
        module = self._made()
        if self.make_module() is module:
            broken(
                "make_module returned the same module twice.",
                expected="each check moves and changes a module of its own.",
                next_step="create it inside make_module.",
            )
        for name in _NAME_ATTRIBUTES:
            if isinstance(value := getattr(module, name, None), str):
                right = f"[{value!r}]" if name == "config_keys" else f"frozenset({{{value!r}}})"
                broken(
                    f"{type(module).__name__}.{name} is the text {value!r}, which counts as its letters.",
                    expected=f"{name} holds names.",
                    next_step=f"write {name} = {right}.",
                )

    def test_it_reads_and_writes_what_it_declares(self) -> None:
        """What `reads` and `writes` say is true: no more and no less."""
        subject = self._subject()
        _check_declarations(subject.module)
        if (reads := getattr(subject.module, "reads", None)) is not None and not self._is_first:
            _check_reads(subject, frozenset(reads))
        if (writes := getattr(subject.module, "writes", None)) is not None:
            _check_writes(subject, frozenset(writes))
        _check_scores(subject)

    def test_it_leaves_the_features_of_others_as_they_were(self) -> None:
        """It returns the features that it was given, and changes no tensor in place."""
        subject = self._subject()
        before = copied({**subject.features, _FOREIGN: torch.ones(subject.count)})
        given = copied(before)
        after = subject.run_on(dict(given))
        # an input module may drop the features of its own preprocess
        kept = {_FOREIGN, *(getattr(subject.module, "reads", None) or ())}
        if lost := kept - set(after):
            broken(
                f"{subject.name}.forward returned features without {listed(lost)}, which it was given.",
                expected="later modules may read the features of earlier ones.",
                next_step="add to the given features, and return them: features['…'] = …; return features.",
            )
        for name in kept - set(getattr(subject.module, "writes", None) or ()):
            if difference(given[name], before[name], 0.0):
                broken(
                    f"{subject.name}.forward changed {name!r} in place.",
                    expected="a module does not change the tensors that it reads, because other modules read them too.",
                    next_step="compute a new tensor: `x = x * 2` instead of `x *= 2`, `add` instead of `add_`.",
                )

    def test_it_computes_the_same_again(self) -> None:
        """The same features give the same result, in eval mode."""
        subject = self._subject()
        first, second = subject.run(subject.features), subject.run(subject.features)
        for name in sorted(subject.written):
            if found := difference(second.get(name), first[name], ROUNDING):
                broken(
                    f"{subject.name} wrote {name!r} differently for the same features: {found}.",
                    expected="a chain scores in eval mode, and gives the same scores every time.",
                    next_step="use torch.nn.Dropout, which eval switches off, rather than functional.dropout; draw no "
                    "random numbers in forward, and keep nothing from one call to the next.",
                )

    def test_several_threads_compute_at_once(self) -> None:
        """With `is_thread_safe`, several threads compute at once what they compute alone; otherwise, passes."""
        subject = self._subject()
        if not may_run_at_once(subject.module):
            return
        alone = [subject.alone(row) for row in range(subject.count)]
        expected = [subject.run(features) for features in alone]
        for row, after in threads.at_once(lambda row: subject.run(alone[row]), subject.count):
            for name in sorted(subject.written):
                if found := difference(after.get(name), expected[row][name], ROUNDING):
                    broken(
                        f"{subject.name} wrote {name!r} differently while other threads called forward: {found}.",
                        expected="a class with is_thread_safe = True keeps nothing of a batch in the module.",
                        next_step="keep it in local variables or in the features; or take is_thread_safe out.",
                    )

    def test_a_pair_is_computed_alone_as_beside_others(self) -> None:
        """A pair's features depend neither on its batch nor on padding."""
        subject = self._subject()
        self._check_alone(subject, subject.features, "beside")
        if not self._is_first and (shifted := padded_before(subject.features)) is not None:
            self._check_alone(subject, shifted, "padded before its tokens, beside")

    def _check_alone(self, subject: Subject, features: Features, how: str) -> None:
        together = subject.run(features)
        for row in range(subject.count):
            alone = subject.row(subject.run(subject.alone(row)), 0, 1)
            for name, value in subject.row(together, row, subject.count).items():
                found = difference(alone.get(name), value, self.tolerance)
                # without a mask, the padding is unknown
                if found and (MASK in together or not found.startswith("the shapes")):
                    broken(
                        f"{subject.name} wrote {name!r} of pair {row} differently alone and {how} "
                        f"{subject.count - 1} others: {found}.",
                        expected="a pair's features depend neither on the other pairs in its batch nor on padding.",
                        next_step="compute each row by itself, and leave out where features['attention_mask'] is 0: "
                        "the values there are arbitrary. The first token is where the mask is first 1, which is not "
                        "always position 0.",
                    )

    def test_a_part_of_a_feature_is_as_good_as_the_whole(self) -> None:
        """With `reads_part` and `offers_parts`, parts give the same result as full features."""
        subject = self._subject()
        part_checks.check_reads_part(subject, self.tolerance)
        part_checks.check_offers_parts(subject, self.tolerance)


def _check_declarations(module: Any) -> None:
    """Fail if the module declares what it reads where that counts for another ``forward`` than its own."""
    for name in ("reads", "reads_part"):
        if getattr(module, name, None) and not speaks_for_forward(module, name):
            broken(
                f"{name} of {type(module).__name__} does not count, so modules before it compute everything.",
                expected=f"the class that defines forward sets {name}, or its __init__ does; a subclass that overrides "
                "forward states it again, because it may read more.",
                next_step=f"set {name} in the class that defines forward, or in its __init__.",
            )


def _check_reads(subject: Subject, declared: frozenset[str]) -> None:
    if absent := declared - set(subject.features):
        broken(
            f"make_features returned no {listed(absent)}, which `reads` of {subject.name} names.",
            expected="a module is checked on everything that it declares to read.",
            next_step="add it to what make_features returns.",
        )
    watched = Watched(copied({name: subject.features[name] for name in declared}))
    try:
        with torch.inference_mode():
            subject.module(watched)
    except KeyError as error:
        missing = error.args[0]
        broken(
            f"{subject.name} reads {missing!r}, which it does not declare; `reads` names {listed(declared)}.",
            expected="a chain checks the declarations of its modules before it computes anything.",
            next_step=f"add {missing!r} to `reads`; or, if it can do without, ask with features.get({missing!r}).",
        )
    if unread := declared - watched.read:
        broken(
            f"{subject.name} declares that it reads {listed(unread)}, and never did.",
            expected="a chain refuses a module if a feature in its `reads` is missing, so name only what it needs.",
            next_step=f"let forward read it, or take {listed(unread)} out of `reads`.",
        )


def _check_writes(subject: Subject, declared: frozenset[str]) -> None:
    after = subject.run(subject.features)
    if absent := declared - set(after):
        broken(
            f"{subject.name} declares that it writes {listed(absent)}, and did not.",
            expected="a chain relies on `writes`: a module that reads the feature would fail during scoring.",
            next_step=f"let forward set features[{min(absent)!r}], or take it out of `writes`.",
        )
    if extra := set(after) - declared - set(subject.features):
        broken(
            f"{subject.name} wrote {listed(extra)}, which it does not declare; `writes` names {listed(declared)}.",
            expected="a chain refuses a module that reads a feature which no earlier module declares in `writes`.",
            next_step=f"add {listed(extra)} to `writes`, or keep it out of the features.",
        )


def _check_scores(subject: Subject) -> None:
    after: Features = subject.run(subject.features)
    if SCORES not in subject.written:
        return
    scores: Any = after[SCORES]
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else None
    if shape is None or len(shape) not in (1, 2) or shape[0] != subject.count:
        found = f"of shape {shape}" if shape is not None else f"as {type(scores).__name__}"
        broken(
            f"{subject.name} wrote 'scores' {found} for {subject.count} pairs.",
            expected="scores are a tensor of shape (pairs,) or (pairs, labels).",
            next_step="keep the first axis for the pairs; keepdim=True keeps one for a single label.",
        )
    if not scores.is_floating_point():
        broken(
            f"{subject.name} wrote 'scores' of dtype {scores.dtype}.",
            expected="scores are floating-point numbers: an activation such as Sigmoid is applied to them.",
            next_step="write scores.float().",
        )
    labels = 1 if len(shape) == 1 else shape[1]
    declared = getattr(subject.module, "num_labels", None)
    if declared is not None and declared != labels:
        broken(
            f"{subject.name}.num_labels is {declared}, and it wrote {labels} for each pair.",
            expected="num_labels is the number of scores per pair; the default activation depends on it.",
            next_step=f"set num_labels to {labels}, or leave it out.",
        )
