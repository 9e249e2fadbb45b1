"""The names and shapes of a model's parameters, without torch: what a checkpoint must hold."""

from __future__ import annotations

from collections.abc import Iterator

from pairchain_packed.architecture import Architecture, Attention, Head, Norm

Shape = tuple[int, ...]
# The name of a parameter, and the shapes of the parts that stand side by side in it.
Parameter = tuple[str, tuple[Shape, ...]]


def parameters(plan: Architecture, head: Head) -> Iterator[Parameter]:
    """Yield the parameters of the `model.PackedModel` with this plan and head, in its order."""
    yield from _embedding(plan)
    for number, layer in enumerate(plan.layers):
        name = f"layers.{number}"
        yield from _attention(f"{name}.attention", plan.attention, plan.size)
        inner = (plan.mlp.size,) * (1 + plan.mlp.is_gated)
        yield from _linear(f"{name}.mlp.inner", plan.size, *inner, has_bias=plan.mlp.has_bias)
        yield from _linear(f"{name}.mlp.output", plan.mlp.size, plan.size, has_bias=plan.mlp.has_bias)
        norms = ["attention_norm"] * layer.norm_first + ["mlp_norm"]
        norms += ["attention_output_norm", "mlp_output_norm"] * (plan.norms == "both")
        for norm in norms:
            yield from _norm(f"{name}.{norm}", plan.norm, plan.size)
    if plan.has_final_norm:
        yield from _norm("norm", plan.norm, plan.size)
    yield from _head(head, plan.size)


def _embedding(plan: Architecture) -> Iterator[Parameter]:
    embedding = plan.embedding
    entries = {"tokens": embedding.tokens, "positions": embedding.positions, "types": embedding.types}
    for name, count in entries.items():
        if count:
            yield f"embedding.{name}.weight", ((count, embedding.size),)
    yield from _norm("embedding.norm", embedding.norm, embedding.size)
    if embedding.size != plan.size:
        yield from _linear("embedding.project", embedding.size, plan.size)


def _attention(name: str, plan: Attention, size: int) -> Iterator[Parameter]:
    yield from _linear(f"{name}.inputs", size, *plan.widths, has_bias=plan.has_bias)
    yield from _linear(f"{name}.output", plan.widths[0], size, has_bias=plan.has_output_bias)
    for norm in ("query_norm", "key_norm"):
        yield from _norm(f"{name}.{norm}", plan.head_norm, plan.head_size)


def _head(head: Head, size: int) -> Iterator[Parameter]:
    if head.inner:
        yield from _linear("head.inner", size, size, has_bias=head.has_inner_bias)
    yield from _norm("head.norm", head.norm, size)
    if head.has_pooler:
        yield from _linear("head.pooler", size, size)
    if head.width and not head.is_tied:
        yield from _linear("head.output", size, head.width, has_bias=head.has_bias)


def _linear(name: str, inputs: int, *outputs: int, has_bias: bool = True) -> Iterator[Parameter]:
    yield f"{name}.weight", tuple((size, inputs) for size in outputs)
    if has_bias:
        yield f"{name}.bias", tuple((size,) for size in outputs)


def _norm(name: str, plan: Norm | None, size: int) -> Iterator[Parameter]:
    if plan is not None:
        yield f"{name}.weight", ((size,),)
        if plan.kind == "layer" and plan.has_bias:
            yield f"{name}.bias", ((size,),)
