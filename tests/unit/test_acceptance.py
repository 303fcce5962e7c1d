"""Models that cannot be looked into are refused with what to attach instead; hooks and offloaded weights are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from transformers import AutoModelForCausalLM

import explorer
from explorer import Ablate, Apply, Refused
from tests.conftest import tiny

IDS = [5, 17, 3, 88, 41, 9, 60]


def compiled_in_place(hf: Any) -> Any:
    hf.compile()
    return hf


def with_compiled_layer(hf: Any) -> Any:
    hf.model.layers[1].compile()
    return hf


def with_wrapped_layer(hf: Any) -> Any:
    hf.model.layers[1] = torch.compile(hf.model.layers[1])
    return hf


@pytest.mark.parametrize(
    ("wrap", "sentence"),
    [
        (torch.compile, r"compiled by torch\.compile.*compiled\._orig_mod"),
        (torch.nn.DataParallel, r"wrapped in DataParallel.*wrapped\.module"),
        (compiled_in_place, r"compiled in place by model\.compile\(\).*load it again"),
        (with_compiled_layer, r"compiled in place by model\.layers\.1\.compile\(\)"),
        (with_wrapped_layer, r"compiled by torch\.compile at model\.layers\.1"),
    ],
)
def test_compiled_and_wrapped_models_are_refused(wrap: Callable[[Any], Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        explorer.attach(wrap(tiny("llama")))


def test_what_the_sentence_offers_works() -> None:
    hf = tiny("llama")
    for wrapped in (torch.compile(hf)._orig_mod, torch.nn.DataParallel(hf).module):
        assert torch.isfinite(explorer.attach(wrapped).trace(IDS).logits).all()


def test_weights_that_were_never_loaded_are_refused() -> None:
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(tiny("llama").config)
    with pytest.raises(Refused, match=r"meta device at model\.embed_tokens that were never loaded"):
        explorer.attach(hf)


def test_offloaded_weights_give_the_same_activations(unchanged: Callable[[explorer.Model], None]) -> None:
    plain = explorer.attach(tiny("llama"))
    hf = tiny("llama")
    cpu_offload(hf, execution_device=torch.device("cpu"))
    assert next(hf.parameters()).is_meta
    model = explorer.attach(hf)
    assert model.device.type == "cpu"
    expected, trace = plain.trace(IDS), model.trace(IDS)
    assert trace.sites() == expected.sites()
    for site in trace.sites():
        torch.testing.assert_close(trace[site], expected[site])
    assert model.check().passed
    edit = Ablate("layers.1.attn.z", heads=[2])
    torch.testing.assert_close(model.trace(IDS, edits=edit).logits, plain.trace(IDS, edits=edit).logits)
    assert next(hf.parameters()).is_meta, "the weights are away again"
    unchanged(plain)


def test_hooks_that_were_there_act_are_kept_and_named(unchanged: Callable[[explorer.Model], None]) -> None:
    hf = tiny("llama")
    hf.model.layers[0].mlp.register_forward_hook(lambda _module, _args, output: output * 2)
    hf.model.layers[1].register_forward_pre_hook(lambda *_: None)
    model = explorer.attach(hf)
    unchanged(model)
    found = model.check()
    assert found.passed
    (row,) = [row for row in found.rows if row.what == "hooks that were there"]
    assert "model.layers.0.mlp (1 forward)" in row.note
    assert "model.layers.1 (1 before forward)" in row.note
    with torch.no_grad():
        torch.testing.assert_close(model.trace(IDS).logits, hf(torch.tensor([IDS])).logits)
    assert not [row for row in explorer.attach(tiny("llama")).check().rows if row.what == "hooks that were there"]


def test_a_pass_inside_a_pass_is_refused(unchanged: Callable[[explorer.Model], None]) -> None:
    model = explorer.attach(tiny("llama"))
    unchanged(model)
    expected = model.trace(IDS)

    def tracing(value: torch.Tensor) -> torch.Tensor:
        model.trace(IDS[:3])
        return value

    def reading(value: torch.Tensor) -> torch.Tensor:
        assert expected.logits is not None
        return value

    for function in (tracing, reading):
        with pytest.raises(Refused, match="inside another one"):
            model.trace(IDS, edits=Apply("layers.1.resid_post", function))
    assert torch.equal(model.trace(IDS).logits, expected.logits)
