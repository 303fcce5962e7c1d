"""Quantised weights, weights in several places, and files that cannot be used."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

import explorer
from explorer import Ablate
from tests.conftest import snapshot, tiny
from tests.model.test_loading import _cached

pytestmark = pytest.mark.model

IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])
TEXT = "The capital of France is"


def folder(path: Path, hf: Any) -> Path:
    hf.save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (path / name).write_bytes((_cached("smollm2") / name).read_bytes())
    return path


@pytest.fixture(scope="module", params=["int8", "int4"])
def small(request: pytest.FixtureRequest) -> explorer.Model:
    """The sample with its weights in few bits."""
    return explorer.load(quantize=request.param)


def test_few_bits_take_less_memory_and_say_so(small: explorer.Model, sample: explorer.Model) -> None:
    kind = small.quantised.split()[0]
    assert small.quantised == f"{kind} (79% of the weights)"
    assert small.quantised in repr(small)
    assert small.anatomy.stacks[0].layers == sample.anatomy.stacks[0].layers
    assert not sample.quantised
    linear = small.hf.model.layers[3].mlp.up_proj
    stored = linear.weight.qdata if kind == "int8" else linear.weight.data
    assert stored.numel() * stored.element_size() == 576 * 1536 // (1 if kind == "int8" else 2)


def test_the_difference_to_full_precision_is_stated(small: explorer.Model, sample: explorer.Model) -> None:
    check = small.check(TEXT)
    assert check.passed, check
    (row,) = [row for row in check.rows if row.what == "difference to full precision"]
    ids = small.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        few, full = small.hf(**ids).logits, sample.hf(**ids).logits
    agree = int((few.argmax(-1) == full.argmax(-1)).sum())
    assert f"largest {float((few - full).abs().max()):.3g}," in row.note
    assert f"agrees at {agree} of {full.shape[1]} positions" in row.note
    assert float((few - full).abs().max()) > 0


def test_traces_edits_and_heads_of_few_bits_are_those_of_the_plain_modules(small: explorer.Model) -> None:
    before = snapshot(small.hf)
    trace = small.trace(TEXT)
    ids = small.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(trace.logits, small.hf(**ids, use_cache=False).logits)
    for layer in (0, 17):
        heads, whole = trace.head_out(layer).sum(2), trace[f"layers.{layer}.attn.out"]
        torch.testing.assert_close(heads, whole, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))
    pattern = trace.pattern(17)
    torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern.sum(-1)))
    edited = small.trace(TEXT, edits=[Ablate("layers.17.attn.z", heads=[4])])

    def without(_module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        given = args[0].clone()
        given.view(1, given.shape[1], 9, -1)[:, :, 4] = 0
        return (given,)

    handle = small.hf.model.layers[17].self_attn.o_proj.register_forward_pre_hook(without)
    with torch.no_grad():
        expected = small.hf(**ids, use_cache=False).logits
    handle.remove()
    torch.testing.assert_close(edited.logits, expected, rtol=1e-4, atol=1e-4)
    assert snapshot(small.hf) == before


def test_gradients_pass_through_few_bits(small: explorer.Model) -> None:
    result = small.attribute(TEXT, " Paris", method="input_x_gradient")
    ids = small.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    embeddings = small.hf.get_input_embeddings()(ids).detach().requires_grad_()
    logit = small.hf(inputs_embeds=embeddings).logits[0, -1, small.tokenizer(" Paris")["input_ids"][0]]
    (gradient,) = torch.autograd.grad(logit, embeddings)
    expected = (gradient * embeddings).sum(-1)[0].detach()
    torch.testing.assert_close(result.scores, expected, rtol=1e-3, atol=1e-3)
    assert small.generate(TEXT, explorer.Sampling(temperature=0), 4).finish().ended == "4 tokens"


def test_a_weight_of_few_bits_is_called_dequantised(small: explorer.Model, sample: explorer.Model) -> None:
    path = "model.layers.2.self_attn.o_proj"
    weight = small.weight(path)
    kind = small.quantised.split()[0]
    assert weight.form == f"dequantised from {kind}"
    stored = small.hf.get_submodule(path).weight
    if kind == "int8":
        expected = stored.dequantize()
    else:
        from bitsandbytes.functional import dequantize_4bit

        expected = dequantize_4bit(stored.data, stored.quant_state)
    torch.testing.assert_close(weight.tensor, expected, rtol=1e-5, atol=1e-6)
    full = sample.weight(path)
    assert full.form == "as stored"
    assert torch.equal(full.tensor, sample.hf.get_submodule(path).weight)
    steps = {"int8": 1 / 127, "int4": 0.2}  # half a step of the coarsest scale, in parts of the largest entry
    assert (weight.tensor - full.tensor).abs().max() <= steps[kind] * full.tensor.abs().max()
    with pytest.raises(explorer.Refused, match="only linear modules"):
        small.weight("model.norm")


def test_an_adapter_beside_few_bits(tmp_path: Path) -> None:
    base = tiny("llama", hidden_size=64, intermediate_size=64, head_dim=16)
    folder(tmp_path / "base", base)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(r=4, target_modules=["q_proj", "o_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(tmp_path / "lora")
    for kind in ("int8", "int4"):
        model = explorer.load(tmp_path / "base", quantize=kind, adapter=tmp_path / "lora")
        plain = explorer.load(tmp_path / "base", quantize=kind)
        assert torch.equal(model.trace(IDS, adapter=None).logits, plain.trace(IDS).logits)
        path = "model.layers.1.self_attn.o_proj"
        weight = model.weight(path)
        assert weight.form == f"dequantised from {kind}, adapter lora"
        layer = adapted.get_base_model().get_submodule(path)
        expected = plain.weight(path).tensor + layer.get_delta_weight("default").detach()
        torch.testing.assert_close(weight.tensor, expected, rtol=1e-4, atol=1e-4)
        trace = model.trace(IDS)
        assert trace.adapters == ("lora",)
        torch.testing.assert_close(trace.head_out(1).sum(2), trace["layers.1.attn.out"], rtol=1e-4, atol=1e-4)
        assert (trace.logits - plain.trace(IDS).logits).abs().max() > 1e-2


def test_forms_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(explorer.Refused, match="quantize='int3' is not 'int8' or 'int4'"):
        explorer.load(quantize="int3")
    with pytest.raises(explorer.Refused, match="attention='flash' is not 'sdpa' or 'eager'"):
        explorer.load(attention="flash")
    path = folder(tmp_path / "packed", tiny("llama"))
    config = json.loads((path / "config.json").read_text())
    for kind, settings in (("gptq", {"bits": 4}), ("seven_bit_magic", {})):
        wrong = {**config, "quantization_config": {"quant_method": kind, **settings}}
        (path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(explorer.Refused, match=rf"source='.*' is quantised with '{kind}'.*(install|original)"):
            explorer.load(path)
        with pytest.raises(explorer.Refused, match=f"quantised with '{kind}' already"):
            explorer.load(path, quantize="int8")
    wide = folder(tmp_path / "gpt2", tiny("gpt2"))
    with pytest.raises(explorer.Refused, match="would change nothing"):
        explorer.load(wide, quantize="int8")


def test_a_file_that_is_quantised_already_opens(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", tiny("llama", hidden_size=64, intermediate_size=64, head_dim=16))
    for kind in ("int8", "int4"):
        first = explorer.load(base, quantize=kind)
        again = explorer.load(folder(tmp_path / kind, first.hf))
        assert again.quantised == first.quantised != ""
        assert torch.equal(again.trace(IDS).logits, first.trace(IDS).logits)


def test_the_attention_kernel_can_be_chosen(tmp_path: Path) -> None:
    path = folder(tmp_path, tiny("llama"))
    for kernel in ("eager", "sdpa"):
        model = explorer.load(path, attention=kernel)
        assert model.hf.config._attn_implementation == kernel
        torch.testing.assert_close(model.trace(IDS).logits, tiny("llama")(input_ids=IDS).logits)


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> explorer.Model:
    """A model with half of its layers on disk: accelerate hands them in, as it does from the CPU to a GPU."""
    path = folder(tmp_path_factory.mktemp("halves"), tiny("llama"))
    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "disk", "lm_head": "cpu"}
    return explorer.load(path, device={**places, **{f"model.layers.{n}": ("cpu", "disk")[n % 2] for n in range(3)}})


def test_a_model_in_several_places_gives_the_same_numbers(halves: explorer.Model) -> None:
    hf = tiny("llama")
    whole = explorer.attach(hf)
    assert "weights on cpu, disk" in repr(halves)
    assert halves.hf.model.layers[1].self_attn.o_proj.weight.device.type == "meta"
    assert halves.device.type == "cpu"
    assert halves.anatomy.stacks == whole.anatomy.stacks
    trace, expected = halves.trace(IDS), whole.trace(IDS)
    for site in expected.sites():
        torch.testing.assert_close(trace[site], expected[site], msg=site)
    torch.testing.assert_close(trace.lens_logits(1), expected.lens_logits(1))
    edits = [Ablate("layers.1.attn.z", heads=[2]), explorer.Scale("layers.1.mlp_out", 0.5)]
    torch.testing.assert_close(halves.trace(IDS, edits=edits).logits, whole.trace(IDS, edits=edits).logits)
    path = "model.layers.1.self_attn.o_proj"
    torch.testing.assert_close(halves.weight(path).tensor, hf.get_submodule(path).weight.detach())
    assert halves.hf.model.layers[1].self_attn.o_proj.weight.device.type == "meta"
    narrow = halves.trace(IDS, record=explorer.Record(dtype="float64"))
    torch.testing.assert_close(narrow.head_out(1).float(), expected.head_out(1))
    assert halves.check(IDS).passed, halves.check(IDS)


def test_what_a_model_in_several_places_cannot_do_says_so(halves: explorer.Model) -> None:
    with pytest.raises(explorer.Refused, match="exact=True needs all weights in one place; these are on cpu, disk"):
        halves.check(exact=True)
    longer = torch.cat([IDS, IDS[:, :2]], dim=1)
    again = halves.trace(longer, reuse=halves.trace(IDS))
    assert again.reused == 0
    assert "several places" in again.reuse_note
    torch.testing.assert_close(again.logits, tiny("llama")(input_ids=longer).logits)


def test_auto_puts_everything_on_what_there_is(tmp_path: Path) -> None:
    model = explorer.load(folder(tmp_path, tiny("llama")), device="auto", dtype="float32")
    torch.testing.assert_close(model.trace(IDS).logits.cpu(), tiny("llama")(input_ids=IDS).logits, rtol=1e-3, atol=1e-3)
    with pytest.raises(explorer.Refused, match="places no module"):
        explorer.load(tmp_path, device={})
    with pytest.raises(explorer.Refused, match="'cuda:99'"):
        explorer.load(tmp_path, device={"": "cuda:99"})
