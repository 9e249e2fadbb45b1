"""Checks of a module in a chain: its keyword arguments, the scores, and the scores in a fresh process."""

from __future__ import annotations

from pathlib import Path

from pairchain.chain.keywords import named_keywords, takes_any
from pairchain.testing import chains
from pairchain.testing.author import Author
from pairchain.testing.features import ROUNDING, difference
from pairchain.testing.keywords_read import keywords_taken, keywords_used
from pairchain.testing.subject import FROM_THE_CHAIN
from pairchain.testing.words import broken, listed


class CallingChecks(Author):
    """Checks of a module in a chain; see `ModuleContract`."""

    def test_its_forward_takes_the_keyword_arguments_that_it_asks_for(self) -> None:
        """`forward_kwargs` and the signature of forward agree, and strange keyword arguments change nothing."""
        subject = self._subject()
        forward = subject.module.forward
        asked, named = set(getattr(subject.module, "forward_kwargs", ())), named_keywords(forward) - FROM_THE_CHAIN
        if not takes_any(forward) and (refused := asked - named):
            broken(
                f"{subject.name}.forward_kwargs names {listed(refused)}, which its forward does not take.",
                expected="the chain passes to forward what forward_kwargs names.",
                next_step="let forward take it, or take the name out of forward_kwargs.",
            )
        used = keywords_used(forward)
        if used is not None and (ignored := asked - used):
            broken(
                f"{subject.name}.forward_kwargs names {listed(ignored)}, which its forward never reads.",
                expected="predict accepts what forward_kwargs names, so that a user of it expects an effect.",
                next_step="let forward use it, or take the name out of forward_kwargs.",
            )
        if unreached := (named | keywords_taken(forward)) - asked - FROM_THE_CHAIN:
            broken(
                f"{subject.name}.forward takes {listed(unreached)}, which forward_kwargs does not name.",
                expected="predict passes to forward what forward_kwargs names, and refuses the rest.",
                next_step=f"write forward_kwargs = {{{listed(asked | unreached)}}}, or take it out of forward.",
            )
        if takes_any(forward):
            expected, after = subject.run(subject.features), subject.run(subject.features, of_another_module=1)
            if changed := [name for name in subject.written if difference(after.get(name), expected[name], ROUNDING)]:
                broken(
                    f"{subject.name} wrote {listed(changed)} differently when it was given a keyword argument that it "
                    "does not know.",
                    expected="**kwargs may hold keyword arguments of other modules.",
                    next_step="name the ones that you use in the signature of forward, and ignore the rest.",
                )

    def test_a_chain_scores_pairs_with_it(self) -> None:
        """In a chain, every pair gets one score however pairs are batched, with each keyword argument that it takes."""
        trial = self._trial()
        chains.check_scores(trial, self.tolerance)
        chains.check_keywords(trial, self.keywords)

    def test_a_saved_chain_loads_in_a_fresh_process(self, tmp_path: Path) -> None:
        """A saved chain scores the same in a process that knows nothing of this one."""
        chains.check_fresh_process(self._trial(), tmp_path, is_plugin=self.is_plugin, python=self.python)
