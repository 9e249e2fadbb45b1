"""LossContract: what a trainer expects of a loss, as tests that an author inherits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from pairchain import registry
from pairchain.registry.groups import parameters_of_loss
from pairchain.testing.features import ROUNDING
from pairchain.testing.registered import require_registered
from pairchain.testing.words import broken, explaining

Loss = Callable[..., torch.Tensor]

_STEPS, _RATE = 50, 0.1


class LossContract:
    """Checks of a loss; subclass it in a test file, and name the loss.

    .. code-block:: python

        class TestMyLoss(LossContract):
            name = "mine"

    Attributes:
        name: The name that the loss is registered by.
        is_plugin: Whether an installed plugin registers it; False for one that a test registers by hand.
        options: Keyword arguments of the loss to try it with.
        num_labels: Scores for each pair; from 2 on, the labels are numbers of classes.
        is_trained_down: Whether training lowers it for any labels.
    """

    name: str = ""
    is_plugin: bool = True
    options: Mapping[str, Any] = {}
    num_labels: int = 1
    is_trained_down: bool = True

    def test_a_plugin_registers_it(self) -> None:
        """An installed plugin registers its name, and the object is a loss."""
        if self.is_plugin:
            require_registered(registry.losses, self.name, "function")
        self._loss()

    def test_it_returns_a_scalar_with_gradients(self) -> None:
        """It returns one finite number, and a finite gradient for each logit."""
        logits, labels, mask = self._batch()
        self._check(logits, self._call(logits, labels, mask))

    def test_the_smallest_batch_works(self) -> None:
        """A single pair, or a single list with two documents, has a finite loss too."""
        logits, labels, mask = self._batch()
        if mask is not None:
            logits, labels, mask = logits[:, :2], labels[:, :2], mask[:1, :2]
        logits = logits[:1].detach().requires_grad_()
        self._check(logits, self._call(logits, labels[:1], mask))

    def test_training_lowers_it(self) -> None:
        """Some steps of gradient descent on the logits lower it."""
        logits, labels, mask = self._batch()
        before = self._call(logits, labels, mask).item()
        optimizer = torch.optim.Adam([logits], lr=_RATE)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            self._call(logits, labels, mask).backward()
            optimizer.step()
        after = self._call(logits, labels, mask).item()
        if self.is_trained_down and not after < before:
            broken(
                f"{self.name!r} was {before:.4g}, and after {_STEPS} steps {after:.4g}.",
                expected="a loss falls when the logits follow its gradient.",
                next_step="check the sign, and that nothing in it is detached.",
            )

    def test_the_order_of_examples_does_not_matter(self) -> None:
        """Pairs, or lists, in another order have the same loss."""
        logits, labels, mask = self._batch()
        order = torch.arange(len(logits) - 1, -1, -1)
        other = self._call(logits[order], labels[order], None if mask is None else mask[order])
        self._compare(self._call(logits, labels, mask), other, "changed when the examples came in another order")

    def test_padding_does_not_matter(self) -> None:
        """What a list holds where its mask is False changes nothing; for losses of lists."""
        logits, labels, mask = self._batch()
        if mask is None:
            return
        expected = self._call(logits, labels, mask)
        wide = torch.nn.functional.pad(mask, (0, 2))
        garbage = 9 * torch.randn(wide.shape, generator=torch.Generator().manual_seed(1))
        padded = [torch.where(wide, torch.nn.functional.pad(one.detach(), (0, 2)), garbage) for one in (logits, labels)]
        given = padded[0].requires_grad_()
        found = self._call(given, padded[1], wide)
        self._compare(expected, found, "changed with values where the mask is False")
        (gradient,) = torch.autograd.grad(found, given)
        if gradient[~wide].any():
            broken(
                f"{self.name!r} has gradients where the mask is False.",
                expected="padding is no document, and has no score to improve.",
                next_step="set what belongs to padding to 0 before you add it up.",
            )

    def _loss(self) -> Loss:
        with explaining(
            f"the loss {self.name!r} could not be loaded",
            expected="it is a function of logits, labels and, if it takes lists, a mask; the rest has defaults.",
            next_step="correct the function, or the entry point.",
        ):
            return partial(registry.losses.load(self.name), **self.options)

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return logits, labels and the mask; without a mask for losses of pairs."""
        generator = torch.Generator().manual_seed(0)
        if "mask" in parameters_of_loss(registry.losses.load(self.name)):
            mask = torch.tensor([[True, True, True, True], [True, True, True, False], [True, True, False, False]])
            labels = torch.tensor([[2.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
            return torch.randn(3, 4, generator=generator).requires_grad_(), labels, mask
        if self.num_labels > 1:
            logits = torch.randn(6, self.num_labels, generator=generator).requires_grad_()
            return logits, torch.arange(6) % self.num_labels, None
        return torch.randn(6, generator=generator).requires_grad_(), torch.tensor([1.0, 0.0, 0.25, 1.0, 0.0, 0.5]), None

    def _call(self, logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        with explaining(
            f"{self.name!r} failed with logits of shape {tuple(logits.shape)}",
            expected="a loss of pairs gets logits of shape (pairs,) or (pairs, labels); one of lists gets logits and a "
            "mask of shape (queries, documents).",
            next_step="repair the function.",
        ):
            return self._loss()(logits, labels, **({} if mask is None else {"mask": mask}))

    def _check(self, logits: torch.Tensor, found: torch.Tensor) -> None:
        if not isinstance(found, torch.Tensor) or found.shape != () or not bool(torch.isfinite(found)):
            broken(
                f"{self.name!r} returned {found!r}.",
                expected="a loss returns one finite number, as a tensor of shape ().",
                next_step="average over the pairs, or over the lists.",
            )
        with explaining(
            f"{self.name!r} has no gradient",
            expected="training follows the gradient of the loss.",
            next_step="compute it from the logits with operations of torch; detach nothing.",
        ):
            (gradient,) = torch.autograd.grad(found, logits)
        if not bool(torch.isfinite(gradient).all()):
            broken(
                f"{self.name!r} has a gradient that is not finite.",
                expected="a gradient that is NaN or infinite destroys the weights.",
                next_step="find the division by zero, or the logarithm of 0; torch.where does not hide either.",
            )

    def _compare(self, expected: torch.Tensor, found: torch.Tensor, did: str) -> None:
        if not torch.allclose(expected, found, rtol=ROUNDING, atol=ROUNDING):
            broken(
                f"{self.name!r} {did}: {expected.item():.6g} and {found.item():.6g}.",
                expected="the loss depends on the examples alone.",
                next_step="average over what the mask keeps, and treat every example alike.",
            )
