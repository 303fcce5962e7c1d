"""Where numbers stop being numbers: the first place in a pass, and the weights that are to blame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from explorer.errors import Refused
from explorer.sites import every

if TYPE_CHECKING:
    from explorer.discovery import Call
    from explorer.trace import Trace


def trouble(value: Tensor) -> str:
    """What of a tensor is no finite number, such as "NaN in 3 of 96 numbers"; empty where all is well."""
    if not value.is_floating_point() or value.is_meta or bool(torch.isfinite(value).all()):
        return ""
    nan, infinite = int(torch.isnan(value).sum()), int(torch.isinf(value).sum())
    kinds = " and ".join(name for name, count in (("NaN", nan), ("infinity", infinite)) if count)
    return f"{kinds} in {nan + infinite:,} of {value.numel():,} numbers"


def no_answer(answer: Tensor) -> bool:
    """Whether logits hold NaN or infinity; -inf is what models give to tokens that they never say."""
    return bool((torch.isnan(answer) | torch.isposinf(answer)).any())


def bad_weights(model: nn.Module) -> str:
    """The first weights that are no numbers, as a sentence's end; empty where all of them are."""
    for name, weight in model.named_parameters():
        found = trouble(weight.detach())
        if found:
            return f"the weights {name} hold {found}"
    return ""


def cause(model: nn.Module) -> str:
    """Why a pass may overflow: weights that are no numbers, or a narrow number format."""
    dtype = next(model.parameters()).dtype
    return bad_weights(model) or (
        f"its weights are finite, so {str(dtype).removeprefix('torch.')} is too narrow for what it computes; load it "
        f"with dtype='{'float64' if dtype == torch.float32 else 'float32'}'"
    )


def first_bad_call(calls: Iterable[Call]) -> str:
    """The module that first gave something else than finite numbers, with what it gave."""
    for call in sorted(calls, key=lambda one: one.end):  # a part ends before the module that holds it
        found = "" if call.gave is None else trouble(call.gave)
        if found:
            return f"{call.path or 'the model'} ({found})"
    return "the answer"


def first_bad_site(trace: Trace) -> str:
    """The first recorded site, in the order of a pass, that holds NaN or infinity; empty where none does."""
    held = set(trace.sites())
    for site in every(trace.model.anatomy):
        computed = site.part.endswith(("pattern", "scores", "head_out", "logits", "probs"))  # from others, when read
        if computed or site.address not in held:
            continue
        found = trouble(trace[site.address])
        if found:
            return f"{site.address} ({found})"
    return ""


def check_answer(trace: Trace, logits: Tensor) -> None:
    """Refuses a pass whose answer is no numbers, with the first place where they stop being some.

    Raises:
        Refused: the sentence names the site, and weights or number format as the cause.
    """
    if not no_answer(logits):
        return
    model = trace.model
    why = verdict(trace, logits)[1]
    edited = " Its edits may be the cause." if trace.edits else ""
    raise Refused(f"{model.name} answers with NaN or infinite logits: {why}.{edited}")


def verdict(trace: Trace, answer: Tensor) -> tuple[str, str]:
    """The first site that holds NaN or infinity, and why; both empty where the pass and its answer hold none."""
    first = first_bad_site(trace)
    if first:
        return first.partition(" ")[0], f"they begin at {first}; {cause(trace.model.hf)}"
    if no_answer(answer):
        return "", trace.model.anatomy.missing or f"no recorded site shows where; {cause(trace.model.hf)}"
    return "", ""
