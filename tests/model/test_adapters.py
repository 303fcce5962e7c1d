"""Adapters beside the weights: each equals PEFT's own model, and off is the plain model bit for bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor

import explorer
from explorer import Ablate, Patch
from tests.conftest import snapshot, tiny

IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])
KINDS = {
    "lora": peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj", "down_proj"]),
    "saved": peft.LoraConfig(r=2, target_modules=["v_proj"], modules_to_save=["lm_head"]),
    "ia3": peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "table": peft.LoraConfig(r=4, target_modules=["embed_tokens", "q_proj"]),
    "dora": peft.LoraConfig(r=4, target_modules=["o_proj"], use_dora=True),
}


class Saved:
    """A base model, adapters saved beside it, and what PEFT's own model of each says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = tiny("llama")
        self.plain: Tensor = self.base(input_ids=IDS).logits.detach()
        self.logits: dict[str, Tensor] = {}
        for number, (name, config) in enumerate(KINDS.items()):
            torch.manual_seed(number)
            model = peft.get_peft_model(copy.deepcopy(self.base), copy.deepcopy(config))
            for key, parameter in model.named_parameters():
                if parameter.requires_grad and "magnitude" not in key:
                    torch.nn.init.normal_(parameter, std=0.3)
            model.eval().save_pretrained(folder / name)
            self.logits[name] = model(input_ids=IDS).logits.detach()

    def model(self, *names: str) -> explorer.Model:
        model = explorer.attach(copy.deepcopy(self.base))
        for name in names:
            assert model.add_adapter(self.folder / name) == name
        return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved(tmp_path_factory.mktemp("adapters"))


@pytest.mark.parametrize("name", KINDS)
def test_on_equals_pefts_own_model_and_off_the_plain_one_bit_for_bit(saved: Saved, name: str) -> None:
    model = saved.model(name)
    assert torch.equal(model.trace(IDS).logits, saved.plain), "adding does not turn it on"
    on = model.trace(IDS, adapter=name)
    torch.testing.assert_close(on.logits, saved.logits[name], rtol=1e-5, atol=1e-5)
    assert (on.logits - saved.plain).abs().max() > 1e-2
    assert torch.equal(model.trace(IDS, adapter=None).logits, saved.plain)
    assert torch.equal(model.hf(input_ids=IDS).logits, saved.plain)


def test_several_at_once_on_one_copy_of_the_weights(saved: Saved) -> None:
    model = explorer.attach(copy.deepcopy(saved.base))
    weights = {id(parameter) for parameter in model.hf.parameters()}
    for name in KINDS:
        model.add_adapter(saved.folder / name)
    assert model.adapters == tuple(KINDS)
    assert weights <= {id(parameter) for parameter in model.hf.parameters()}
    before = snapshot(model.hf)
    for name in (*KINDS, *reversed(KINDS)):
        trace = model.trace(IDS, adapter=name)
        torch.testing.assert_close(trace.logits, saved.logits[name], rtol=1e-5, atol=1e-5)
        assert trace.adapters == (name,)
        assert f"adapter {name}" in repr(trace)
    assert torch.equal(model.trace(IDS, adapter=None).logits, saved.plain)
    assert snapshot(model.hf) == before


def test_an_error_in_the_middle_leaves_it_off(saved: Saved) -> None:
    model = saved.model("lora", "saved")

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle")

    handle = model.hf.model.layers[1].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        model.trace(IDS, adapter="lora")
    handle.remove()
    assert torch.equal(model.hf(input_ids=IDS).logits, saved.plain)
    assert torch.equal(model.trace(IDS, adapter=None).logits, saved.plain)


def test_the_parts_of_an_adapted_pass_add_up(saved: Saved) -> None:
    model = saved.model("lora", "dora")
    for name in ("lora", "dora", None):
        trace = model.trace(IDS, adapter=name)
        for layer in range(3):
            heads = trace.head_out(layer).sum(2)
            torch.testing.assert_close(heads, trace[f"layers.{layer}.attn.out"], rtol=1e-4, atol=1e-5)
        total = trace["layers.0.resid_pre"] + sum(
            trace[f"layers.{layer}.{part}"] for layer in range(3) for part in ("attn_out", "mlp_out")
        )
        torch.testing.assert_close(total, trace["layers.2.resid_post"], rtol=1e-4, atol=1e-5)
    # A model that is opened with its adapters on has the same parts.
    model.hf.set_adapter("lora")
    again = explorer.attach(model.hf)
    assert again.anatomy.stacks[0].layers == model.anatomy.stacks[0].layers
    assert "lora (on)" in repr(again)
    assert "dora (on)" not in repr(again)
    assert again.trace(IDS).adapters == ("lora",)
    assert again.check().passed, again.check()


def test_late_numbers_use_the_adapter_of_their_pass(saved: Saved) -> None:
    model = saved.model("lora", "saved", "ia3")
    traces = {name: model.trace(IDS, adapter=name) for name in ("lora", "saved", None)}
    model.hf.set_adapter = None  # nothing late may go through what a user can replace
    model.trace(IDS, adapter="ia3")
    for name, trace in traces.items():
        expected = saved.plain if name is None else saved.logits[name]
        torch.testing.assert_close(trace.logits, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(trace.lens_logits(2), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(trace.head_out(1).sum(2), trace["layers.1.attn.out"], rtol=1e-4, atol=1e-5)


def test_late_numbers_of_an_adapter_that_is_gone_are_refused(saved: Saved) -> None:
    model = saved.model("lora", "dora")
    trace = model.trace(IDS, adapter="lora")
    model.hf.delete_adapter("lora")
    with pytest.raises(explorer.Refused, match="'lora' that this pass ran with is gone"):
        trace.logits  # noqa: B018
    model.add_adapter(saved.folder / "ia3", "lora")
    with pytest.raises(explorer.Refused, match="'lora' that this pass ran with is gone"):
        trace.head_out(0)


def test_an_earlier_trace_is_reused_under_the_same_adapter_alone(saved: Saved) -> None:
    model = saved.model("lora", "saved")
    longer = torch.cat([IDS, torch.tensor([[2, 6]])], dim=1)
    earlier = model.trace(IDS, adapter="lora")
    same = model.trace(longer, reuse=earlier, adapter="lora")
    assert same.reused == IDS.shape[1]
    torch.testing.assert_close(same.logits, model.trace(longer, adapter="lora").logits, rtol=1e-4, atol=1e-5)
    for other in ("saved", None):
        fresh = model.trace(longer, reuse=earlier, adapter=other)
        assert fresh.reused == 0
        assert "adapters" in fresh.reuse_note
        assert torch.equal(fresh.logits, model.trace(longer, adapter=other).logits)


def test_edits_and_next_tokens_act_under_an_adapter(saved: Saved) -> None:
    model = saved.model("lora")
    edit = Ablate("layers.1.attn.z", heads=[2])
    edited = model.trace(IDS, edits=[edit], adapter="lora")

    def without(_module: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        given = args[0].clone()
        given.view(1, IDS.shape[1], 4, -1)[:, :, 2] = 0
        return (given,)

    reference = peft.PeftModel.from_pretrained(copy.deepcopy(saved.base), saved.folder / "lora").eval()
    reference.get_base_model().model.layers[1].self_attn.o_proj.register_forward_pre_hook(without)
    torch.testing.assert_close(edited.logits, reference(input_ids=IDS).logits, rtol=1e-5, atol=1e-5)
    source = model.trace(IDS, adapter="lora")
    patched = model.trace(IDS, edits=[Patch("layers.2.resid_post", source)], adapter=None)
    torch.testing.assert_close(patched.logits, saved.logits["lora"], rtol=1e-5, atol=1e-5)
    row = model.next_token(IDS, adapter="lora").logits
    torch.testing.assert_close(row, saved.logits["lora"][0, -1], rtol=1e-5, atol=1e-5)


def test_a_peft_model_can_be_attached(saved: Saved) -> None:
    wrapped = peft.PeftModel.from_pretrained(copy.deepcopy(saved.base), saved.folder / "saved").eval()
    model = explorer.attach(wrapped)
    torch.testing.assert_close(model.trace(IDS).logits, saved.logits["saved"], rtol=1e-5, atol=1e-5)
    assert torch.equal(model.trace(IDS, adapter=None).logits, saved.plain)
    torch.testing.assert_close(wrapped(input_ids=IDS).logits, saved.logits["saved"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("having", [(), ("lora",)])
def test_an_adapter_of_another_model_is_refused_and_nothing_is_left(
    saved: Saved, tmp_path: Path, having: tuple[str, ...]
) -> None:
    wider = peft.get_peft_model(tiny("llama", intermediate_size=64), peft.LoraConfig(r=2, target_modules=["down_proj"]))
    wider.save_pretrained(tmp_path / "wider")
    deeper = peft.get_peft_model(tiny("llama", num_hidden_layers=4), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    deeper.save_pretrained(tmp_path / "deeper")
    shallow = peft.get_peft_model(tiny("llama", num_hidden_layers=2), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    shallow.save_pretrained(tmp_path / "shallow")
    other = peft.get_peft_model(tiny("gpt2"), peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    other.save_pretrained(tmp_path / "other")
    model = saved.model(*having)
    before, modules = snapshot(model.hf), dict(model.hf.named_modules())
    for name in ("wider", "deeper", "shallow", "other"):
        with pytest.raises(explorer.Refused, match=f"{name}' does not fit LlamaForCausalLM"):
            model.add_adapter(tmp_path / name)
        assert snapshot(model.hf) == before
        assert model.adapters == having
        assert {path: id(module) for path, module in model.hf.named_modules()} == {
            path: id(module) for path, module in modules.items()
        }
    assert torch.equal(model.trace(IDS, adapter=None).logits, saved.plain)
    for name in having:
        torch.testing.assert_close(model.trace(IDS, adapter=name).logits, saved.logits[name], rtol=1e-5, atol=1e-5)


def test_what_cannot_be_used_is_named(saved: Saved, tmp_path: Path) -> None:
    model = saved.model("lora")
    with pytest.raises(explorer.Refused, match="'other' is not the name of an adapter: this model holds 'lora'"):
        model.trace(IDS, adapter="other")
    with pytest.raises(TypeError, match="adapter=3 is a int"):
        model.trace(IDS, adapter=3)  # type: ignore[arg-type]
    with pytest.raises(explorer.Refused, match="name='lora' is taken"):
        model.add_adapter(saved.folder / "lora")
    with pytest.raises(explorer.Refused, match=r"without adapter_config\.json"):
        model.add_adapter(tmp_path)
    prompts = peft.get_peft_model(tiny("llama"), peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    prompts.save_pretrained(tmp_path / "prompts")
    with pytest.raises(explorer.Refused, match="PROMPT_TUNING, which adds positions"):
        model.add_adapter(tmp_path / "prompts")
    pickled = tmp_path / "pickled"
    peft.LoraConfig(r=2, target_modules=["q_proj"]).save_pretrained(pickled)
    torch.save({}, pickled / "adapter_model.bin")
    with pytest.raises(explorer.Refused, match=r"adapter_model\.safetensors is needed"):
        model.add_adapter(pickled)


def test_a_merged_adapter_is_not_switched(saved: Saved) -> None:
    model = saved.model("lora")
    with_it = model.hf.model.layers[0].self_attn.o_proj
    with_it.merge(adapter_names=["lora"])
    with pytest.raises(explorer.Refused, match="merged into the weights"):
        model.trace(IDS, adapter=None)
    assert with_it.merged


def test_load_turns_its_adapter_on(saved: Saved, tmp_path: Path) -> None:
    saved.base.save_pretrained(tmp_path)
    from tests.model.test_loading import _cached

    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((_cached("smollm2") / name).read_bytes())
    model = explorer.load(tmp_path, adapter=saved.folder / "lora")
    torch.testing.assert_close(model.trace(IDS).logits, saved.logits["lora"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.hf(input_ids=IDS).logits, saved.logits["lora"], rtol=1e-5, atol=1e-5)
    two = explorer.load(tmp_path, adapter={"a": saved.folder / "saved", "b": saved.folder / "lora"})
    assert two.adapters == ("a", "b")
    torch.testing.assert_close(two.trace(IDS).logits, saved.logits["saved"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(two.trace(IDS, adapter="b").logits, saved.logits["lora"], rtol=1e-5, atol=1e-5)
    other = peft.get_peft_model(tiny("gpt2"), peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(explorer.Refused, match="does not fit"):
        explorer.load(tmp_path, adapter=tmp_path / "other")


def test_generation_and_attribution_run_under_an_adapter(sample: Any, tmp_path: Path) -> None:
    base = copy.deepcopy(sample.hf)
    torch.manual_seed(0)
    wrapped = peft.get_peft_model(
        copy.deepcopy(base), peft.LoraConfig(r=4, target_modules=["q_proj", "o_proj", "down_proj"])
    )
    for key, parameter in wrapped.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.3)
    wrapped.eval().save_pretrained(tmp_path / "lora")
    model = explorer.attach(base, sample.tokenizer)
    model.add_adapter(tmp_path / "lora")
    text, greedy = "The capital of France is", explorer.Sampling(temperature=0)
    plain = sample.generate(text, greedy, 5).finish().ids
    ids = sample.tokenizer(text, return_tensors="pt")
    expected = wrapped.generate(**ids, do_sample=False, max_new_tokens=5)[0, ids["input_ids"].shape[1] :].tolist()
    assert plain != expected
    assert model.generate(text, greedy, 5, adapter="lora").finish().ids == expected
    generation = model.generate(text, greedy, 5, adapter=None)
    next(generation)
    model.hf.set_adapter("lora")  # in the middle: the cache is of the plain model, and so is the rest
    assert generation.finish().ids == plain
    explained = model.attribute(text, " Paris", method="input_x_gradient", adapter="lora")
    embeddings = wrapped.get_input_embeddings()(ids["input_ids"]).detach().requires_grad_()
    target = model.tokenizer(" Paris")["input_ids"][0]
    logit = wrapped(inputs_embeds=embeddings).logits[0, -1, target]
    logit.backward()
    scores = (embeddings.grad * embeddings).sum(-1)[0].detach()
    torch.testing.assert_close(explained.scores, scores, rtol=1e-3, atol=1e-3)
    assert explained.difference == pytest.approx(float(logit), abs=1e-3)
    off = model.attribute(text, " Paris", method="input_x_gradient", adapter=None)
    assert torch.equal(off.scores, sample.attribute(text, " Paris", method="input_x_gradient").scores)


def test_a_saved_trace_computes_with_the_adapter_of_its_pass(saved: Saved, tmp_path: Path) -> None:
    model = saved.model("lora")
    for adapter in ("lora", None):
        trace = model.trace(IDS, adapter=adapter)
        path = trace.save(tmp_path / f"{adapter}.safetensors")
        opened = explorer.open_trace(path, model=model)
        assert opened.adapters == trace.adapters == opened.provenance.adapters
        assert torch.equal(opened.logits, trace.logits)
        assert torch.equal(opened.head_out(1), trace.head_out(1))
