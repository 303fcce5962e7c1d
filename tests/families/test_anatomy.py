"""What the anatomy says of a family to its reader, and why a part is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

import explorer
from explorer.anatomy import Anatomy
from tests.families.cases import IDS, case
from tests.families.configs import FAMILIES

SAID = [
    ("gpt_oss", "attention sinks", "learned, in all 3 layers"),
    ("gpt_oss", "sliding window", "3 in 2 of 3 layers"),
    ("gpt_oss", "experts", "5 in all 3 layers"),
    ("qwen3_moe", "experts", "5 in 2 of 3 layers"),
    ("gemma2", "attention softcap", "2.0"),
    ("gemma2", "logit softcap", "3.0"),
    ("gemma3", "sliding window", "3 in 2 of 3 layers"),
    ("mistral", "sliding window", "3 in all 3 layers"),
    ("qwen3_next", "recurrent layers", "2"),
    ("mamba", "recurrent layers", "3"),
    ("rwkv", "recurrent layers", "3"),
]


@pytest.mark.parametrize(("family", "what", "value"), SAID)
def test_what_changes_how_patterns_are_read_is_named(family: str, what: str, value: str) -> None:
    anatomy = case(family).model.anatomy
    assert f"{what} {value}" in repr(anatomy)
    assert f"{what}</th><td style='text-align:left'>{value}</td>" in anatomy._repr_html_()


def test_what_there_is_not_is_not_named() -> None:
    said = repr(case("llama").model.anatomy)
    assert not [word for word in ("sinks", "softcap", "window", "recurrent", "experts", "without") if word in said]


def test_what_the_self_check_left_out_is_the_reason_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer import model as models

    found = models.examine

    def broken(hf: object) -> Anatomy:
        """The anatomy with attention taken for that of the next layer, so that its weights are not what it says."""
        anatomy = found(hf)
        (stack,) = anatomy.stacks
        ways = [replace(layer, attn=replace(layer.attn, path="lm_head")) for layer in stack.layers if layer.attn]
        return replace(anatomy, stacks=(replace(stack, layers=tuple(ways)),))

    monkeypatch.setattr(models, "examine", broken)
    model = explorer.attach(FAMILIES["llama"].build())
    assert "layers.0.attn.pattern" not in model.sites()
    trace = model.trace(IDS)
    for ask in (lambda: trace["layers.0.attn.pattern"], lambda: trace.pattern(0), lambda: trace["layers.1.attn.z"]):
        with pytest.raises(explorer.Refused, match="left out after the self-check: weights = eager") as refused:
            ask()
        assert "has no softmax attention:" not in str(refused.value)
