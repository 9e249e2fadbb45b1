"""InputModuleContract: checks of a module that reads pairs, besides those of `ModuleContract`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pairchain.chain.calling import encode_with, preprocess_with
from pairchain.chain.keywords import keyword_names as chain_keywords
from pairchain.chain.keywords import named_keywords, takes_any
from pairchain.chain.module import Features, InputModule
from pairchain.errors import InputError
from pairchain.inputs.kinds import CONTENT, MESSAGE
from pairchain.inputs.modality import modality_parts
from pairchain.inputs.supported import check_supported
from pairchain.testing import chains
from pairchain.testing.features import MASK, ROUNDING, difference
from pairchain.testing.module_contract import ModuleContract
from pairchain.testing.subject import FROM_THE_CHAIN, Subject, reloaded
from pairchain.testing.words import broken, described, explaining, listed, quiet

# Features that say how many tokens there are.
_TOKENS = (MASK, "input_ids")
_FEW_TOKENS = 8


class InputModuleContract(ModuleContract):
    """Checks of an input module: those of `ModuleContract`, and of how it reads pairs.

    .. code-block:: python

        class TestBytes(InputModuleContract):
            def make_module(self):
                return Bytes(dimension=4)

    Attributes:
        pairs: Pairs that it takes: at least two, of different lengths. Texts by default.
        prompt: A prompt to try; None for a module without prompts.
        odd_pairs: Pairs that it must either score or refuse with an `InputError`.
    """

    prompt: str | None = "which of these fits: "
    odd_pairs: Sequence[Any] = (
        ("", ""),
        ("", "text"),
        ("text", ""),
        (" \n\t", "\u00a0"),
        ("naïve 🙂 日本語", "\u202eright to left\u0000"),
        ("\ud800 is half a character", "text"),
        ("long " * 3000, "text"),
    )

    _is_first = True

    def test_it_reads_pairs(self) -> None:
        """`preprocess` turns pairs into features, and `forward` writes a row for each pair."""
        module = self._module()
        if not isinstance(module, InputModule):
            broken(
                f"{type(module).__name__} reads no inputs: it has neither preprocess nor tokenize.",
                expected="the first module of a chain turns pairs into features.",
                next_step="write preprocess(self, inputs, prompt=None, **kwargs); or, for a module that comes later, "
                "subclass ModuleContract.",
            )
        features: Any = self._preprocessed(module, self.pairs)
        if not hasattr(features, "keys"):
            broken(
                f"{type(module).__name__}.preprocess returned {type(features).__name__}.",
                expected="preprocess returns the features that forward reads, as a dict.",
                next_step="return {'name': tensor, …}.",
            )
        # scoring needs a row for each pair
        chains.after(self._subject())

    def test_a_prompt_is_not_lost(self) -> None:
        """A prompt changes the features; an empty prompt does not."""
        if self.prompt is None:
            return
        subject = self._subject()
        name, without = subject.name, self._row_of_first(subject, None)
        if not _differ(without, self._row_of_first(subject, self.prompt)):
            broken(
                f"{name} computed the same with the prompt {self.prompt!r} as without.",
                expected="a prompt goes before each pair, or reaches the model in another way.",
                next_step="put `prompt` before the first text in preprocess, if it is not None; or leave `prompt` and "
                "**kwargs out of its signature: the chain then puts it there. If the module does not use prompts, "
                "set prompt = None in the test.",
            )
        if found := _differ(without, self._row_of_first(subject, "")):
            broken(
                f"{name} computed something else for an empty prompt than for none: {found}.",
                expected='prompt="" switches a default prompt off.',
                next_step='write `prompt or ""`.',
            )

    def test_encode_and_collate_agree_with_preprocess(self) -> None:
        """The fast path gives the result of preprocess for any pairs, in any order, with prompts and keywords."""
        subject = self._subject()
        module, name = subject.module, subject.name
        has = [method for method in ("encode", "collate") if hasattr(module, method)]
        if len(has) == 1:
            broken(
                f"{name} has {has[0]}, and not {'collate' if has == ['encode'] else 'encode'}.",
                expected="the engine uses both or neither: it encodes once, and then collates batches.",
                next_step="write the other one.",
            )
        if not has:
            return
        self._check_encoded_keywords(module)
        for prompt in dict.fromkeys([None, self.prompt]):
            encoded = encode_with({"0": module}, list(self.pairs), prompt, {}, None)
            if encoded is None:
                continue
            for item in encoded:
                if isinstance(item.length, bool) or not isinstance(item.length, int) or item.length < 0:
                    broken(
                        f"{name}.encode returned an Encoded of length {item.length!r}.",
                        expected="length is the number of tokens to compute, an int.",
                        next_step="pass length=len(…) of the tokens.",
                    )
            for rows in (range(len(encoded)), range(len(encoded) - 1, -1, -1), range(1)):
                if len({encoded[row].key for row in rows}) == 1:
                    self._check_collated(subject, module.collate([encoded[row] for row in rows]), rows, prompt)

    def test_a_long_pair_is_cut(self) -> None:
        """A `max_seq_length` limits the tokens, and is saved."""
        module = self._module()
        name, limit = type(module).__name__, getattr(module, "max_seq_length", None)
        if limit is None:
            return
        with explaining(
            f"{name}.max_seq_length could not be set",
            expected="CrossEncoder(…, max_length=…) sets max_seq_length if it is a number.",
            next_step="write a setter, or use a plain attribute; None means no limit.",
        ):
            module.max_seq_length = _FEW_TOKENS
        for feature, width in self._widths(module).items():
            if width > _FEW_TOKENS:
                broken(
                    f"{name} made {feature!r} of {width} tokens with max_seq_length = {_FEW_TOKENS}.",
                    expected="a longer pair is cut to max_seq_length.",
                    next_step="cut the tokens in preprocess, and in encode if there is one.",
                )
        with reloaded(module) as again:
            if again.max_seq_length != _FEW_TOKENS:
                broken(
                    f"{name}.max_seq_length was {_FEW_TOKENS} when it was saved, and {again.max_seq_length} after it "
                    "was loaded.",
                    expected="a saved model cuts pairs as before.",
                    next_step="name max_seq_length in config_keys, and let __init__ take it.",
                )

    def test_it_says_which_modalities_it_takes(self) -> None:
        """`modalities` lists known modalities, including those of `pairs`."""
        module = self._module()
        name, found = type(module).__name__, getattr(module, "modalities", ["text"])
        known = {*CONTENT, MESSAGE}
        right = isinstance(found, (list, tuple)) and all(set(modality_parts(modality)) <= known for modality in found)
        if not right or not found:
            broken(
                f"{name}.modalities is {found!r}.",
                expected=f"a list of modalities: {', '.join(map(repr, sorted(known)))}, or sorted tuples of these.",
                next_step='return ["text"], or leave it out.',
            )
        with explaining(
            f"{name}.modalities is {found!r}, and the chain refused `pairs`",
            expected="a chain accepts only the modalities in `modalities`.",
            next_step="list in `modalities` what the module takes, or set other `pairs` in the test.",
        ):
            check_supported(list(self.pairs), found)

    def test_odd_pairs_are_scored_or_refused(self) -> None:
        """Empty, strange and very long texts get scores or an `InputError`; other inputs get an `InputError`."""
        trial = self._trial()
        for pair in self.odd_pairs:
            self._score_or_refuse(trial, pair)
        for wrong in ([("alone",)], [("a", None)], [("a", 1.0)], "text"):
            try:
                trial.model.predict(wrong)
            except InputError:
                continue
            broken(
                f"{trial.name} scored {wrong!r}.",
                expected="anything but a pair is refused with an InputError.",
                next_step="check `modalities`, which say what an element of a pair may be.",
            )

    # -- shared by the checks --

    def _subject(self) -> Subject:
        module = self._module()
        features = self._preprocessed(module, self.pairs)
        return Subject(module, features, len(self.pairs), lambda row: self._preprocessed(module, [self.pairs[row]]))

    def _trial(self) -> chains.Trial:
        subject = self._subject()
        modules = self.make_chain(subject.module)
        made: Sequence[nn.Module] = [subject.module, *chains.after(subject)] if modules is None else modules
        return chains.Trial(chains.of(made), list(self.pairs), subject.module)

    def _preprocessed(self, module: Any, pairs: Sequence[Any], prompt: str | None = None) -> Features:
        with (
            explaining(
                f"{type(module).__name__}.preprocess raised an error for {len(pairs)} pairs",
                expected="preprocess makes features of a list of pairs, each a tuple of two.",
                next_step="repair preprocess; if the module does not take such pairs, set others in `pairs`.",
            ),
            torch.inference_mode(),
        ):
            return preprocess_with(module, list(pairs), prompt, {})

    def _widths(self, module: Any) -> dict[str, int]:
        """Return how many tokens there are of `pairs`, by feature; nothing if the module refuses to cut them."""
        try:
            with quiet():
                features = preprocess_with(module, list(self.pairs), None, {})
        except InputError:
            return {}
        return {name: features[name].shape[1] for name in _TOKENS if name in features}

    def _row_of_first(self, subject: Subject, prompt: str | None) -> Features:
        after = subject.run(self._preprocessed(subject.module, self.pairs[:1], prompt))
        return subject.row(after, 0, 1)

    def _check_encoded_keywords(self, module: Any) -> None:
        if takes_any(module.encode):
            return
        taken = chain_keywords({"0": module}) - set(getattr(module, "forward_kwargs", ()))
        if lost := taken - named_keywords(module.encode) - FROM_THE_CHAIN:
            broken(
                f"{type(module).__name__}.preprocess takes {listed(lost)}, and its encode does not.",
                expected="the engine calls encode instead of preprocess, with the same keyword arguments.",
                next_step="let encode take it too, or return None from encode if it cannot handle the inputs.",
            )

    def _check_collated(self, subject: Subject, collated: Features, rows: range, prompt: str | None) -> None:
        expected = subject.run(self._preprocessed(subject.module, [self.pairs[row] for row in rows], prompt))
        after = subject.run(collated)
        for place, row in enumerate(rows):
            one, other = subject.row(after, place, len(rows)), subject.row(expected, place, len(rows))
            for feature, value in other.items():
                if found := difference(one.get(feature), value, self.tolerance):
                    broken(
                        f"{subject.name} wrote {feature!r} of pair {row} differently after collate and after "
                        f"preprocess{f', with the prompt {prompt!r}' if prompt else ''}: {found}.",
                        expected="collate gives the result of preprocess, for any encoded pairs in any order.",
                        next_step="write preprocess as self.collate(self.encode(inputs, prompt)).",
                    )

    def _score_or_refuse(self, trial: chains.Trial, pair: Any) -> None:
        try:
            with quiet():
                trial.model.predict([pair, self.pairs[0]])
        except InputError:
            return
        except Exception as error:
            shown = repr(pair) if len(repr(pair)) < 80 else f"{repr(pair)[:60]}… of {len(repr(pair))} characters"
            broken(
                f"{type(trial.module).__name__} could not take the pair {shown}: {described(error)}",
                expected="every pair of texts gets a score, or an InputError that explains why not.",
                next_step="accept empty texts; raise pairchain.errors.InputError for invalid ones.",
            )


def _differ(one: Features, other: Features) -> str | None:
    return next((found for name in one if (found := difference(other.get(name), one[name], ROUNDING))), None)
