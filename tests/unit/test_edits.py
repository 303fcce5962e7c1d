"""Each edit at each kind of site against plain torch hooks, on families that differ in how they are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

import explorer
from explorer import Ablate, Apply, Patch, Scale, Steer
from tests.conftest import tiny

IDS = [5, 17, 3, 88, 41, 9, 60]
OTHER = [7, 2, 55, 31, 90, 12, 4]
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 97}
BERT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}


def made(family: str) -> Any:
    torch.manual_seed(0)
    if family == "t5":
        return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **T5)).eval()
    if family == "bert":
        config = AutoConfig.for_model("bert", vocab_size=97, max_position_embeddings=64, **BERT)
        config.initializer_range = 0.2
        return AutoModel.from_config(config).eval()
    if family == "gptj":
        return tiny("gptj", n_embd=32, n_layer=3, n_head=4, rotary_dim=4, n_positions=64)
    return tiny(family)


# For each family and part: the module whose input or output is that number, by hand. "sum" is a norm's input
# whose value the stream carries on beside it.
PLACES: dict[str, dict[str, tuple[str, str]]] = {
    "llama": {
        "resid_pre": ("model.layers.1", "in"),
        "resid_post": ("model.layers.1", "out"),
        "attn_out": ("model.layers.1.self_attn", "out"),
        "attn.out": ("model.layers.1.self_attn.o_proj", "out"),
        "mlp_out": ("model.layers.1.mlp", "out"),
        "mlp.neurons": ("model.layers.1.mlp.down_proj", "in"),
    },
    "gpt2": {
        "resid_pre": ("transformer.h.1", "in"),
        "resid_post": ("transformer.h.1", "out"),
        "attn_out": ("transformer.h.1.attn", "out"),
        "attn.out": ("transformer.h.1.attn.c_proj", "out"),
        "mlp_out": ("transformer.h.1.mlp", "out"),
        "mlp.neurons": ("transformer.h.1.mlp.c_proj", "in"),
    },
    "opt": {
        "resid_pre": ("model.decoder.layers.1", "in"),
        "resid_post": ("model.decoder.layers.1", "out"),
        "attn_out": ("model.decoder.layers.1.self_attn", "out"),
        "mlp_out": ("model.decoder.layers.1.fc2", "out"),
        "mlp.neurons": ("model.decoder.layers.1.fc2", "in"),
    },
    "bert": {
        "resid_pre": ("encoder.layer.1", "in"),
        "resid_post": ("encoder.layer.1", "out"),
        "resid_mid": ("encoder.layer.1.attention.output.LayerNorm", "out"),
        "attn_out": ("encoder.layer.1.attention.output.dense", "out"),
        "mlp_out": ("encoder.layer.1.output.dense", "out"),
        "mlp.neurons": ("encoder.layer.1.output.dense", "in"),
    },
    "gptj": {
        "resid_pre": ("transformer.h.1", "in"),
        "resid_post": ("transformer.h.1", "out"),
        "attn_out": ("transformer.h.1.attn", "out"),
        "mlp_out": ("transformer.h.1.mlp", "out"),
        "mlp.neurons": ("transformer.h.1.mlp.fc_out", "in"),
        "attn.z": ("transformer.h.1.attn.out_proj", "in"),
    },
    "t5": {
        "resid_pre": ("decoder.block.1", "in"),
        "resid_post": ("decoder.block.1", "out"),
        "attn_out": ("decoder.block.1.layer.0.SelfAttention.o", "out"),
        "cross_attn_out": ("decoder.block.1.layer.1.EncDecAttention.o", "out"),
        "mlp_out": ("decoder.block.1.layer.2.DenseReluDense", "out"),
    },
}
# z enters the output projection also where attention goes through the interface.
PLACES["llama"]["attn.z"] = ("model.layers.1.self_attn.o_proj", "in")
PLACES["gpt2"]["attn.z"] = ("transformer.h.1.attn.c_proj", "in")
PLACES["opt"]["attn.z"] = ("model.decoder.layers.1.self_attn.out_proj", "in")
PLACES["bert"]["attn.z"] = ("encoder.layer.1.attention.output.dense", "in")
PLACES["t5"]["attn.z"] = ("decoder.block.1.layer.0.SelfAttention.o", "in")
CASES = [(family, part) for family, places in PLACES.items() for part in places]


class Subject:
    """One model, its plain passes and its traces."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.hf = made(family)
        self.model = explorer.attach(self.hf)
        self.prefix = "decoder." if family == "t5" else ""

    def trace(self, **options: Any) -> explorer.Trace:
        decoder = {"decoder": [IDS]} if self.family == "t5" else {}
        return self.model.trace([IDS], **decoder, **options)

    def other(self) -> explorer.Trace:
        decoder = {"decoder": [OTHER]} if self.family == "t5" else {}
        return self.model.trace([OTHER], **decoder)

    def plain(self, place: tuple[str, str], change: Callable[[Tensor], Tensor]) -> Tensor:
        """The answer of plain transformers with a hand-made hook, the value as (1, position, width)."""
        path, side = place

        def apply(value: Tensor) -> Tensor:
            return change(value.reshape(1, len(IDS), -1)).reshape(value.shape)

        def pre(_module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            if args:
                return (apply(args[0]), *args[1:]), keywords
            return args, {**keywords, "hidden_states": apply(keywords["hidden_states"])}

        def post(_module: nn.Module, _args: Any, output: Any) -> Any:
            if isinstance(output, Tensor):
                return apply(output)
            return (apply(output[0]), *output[1:])

        module = self.hf.get_submodule(path)
        handle = (
            module.register_forward_pre_hook(pre, with_kwargs=True)
            if side == "in"
            else module.register_forward_hook(post)
        )
        inputs = {"input_ids": torch.tensor([IDS])}
        if self.family == "t5":
            inputs["decoder_input_ids"] = torch.tensor([IDS])
        try:
            with torch.no_grad():
                return self.hf(**inputs)[0]
        finally:
            handle.remove()

    def answer(self, trace: explorer.Trace) -> Tensor:
        return trace["layers.2.resid_post"] if self.family == "bert" else trace.logits


_SUBJECTS: dict[str, Subject] = {}


def subject(family: str) -> Subject:
    if family not in _SUBJECTS:
        _SUBJECTS[family] = Subject(family)
    return _SUBJECTS[family]


def at(chosen: Callable[[Tensor], Any], new: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A hook's change: what `chosen` indexes takes the values of `new`."""

    def change(value: Tensor) -> Tensor:
        after = value.clone()
        index = chosen(value)
        after[index] = new(value)[index]
        return after

    return change


def everywhere(_value: Tensor) -> Any:
    return slice(None)


@pytest.mark.parametrize(("family", "part"), CASES)
def test_every_edit_equals_a_plain_hook(family: str, part: str) -> None:
    one = subject(family)
    site, place = f"{one.prefix}layers.1.{part}", PLACES[family][part]
    heads = part == "attn.z"
    before, other = one.trace()[site] if part != "mlp.neurons" else one.trace(record=[site])[site], None
    flat = before.reshape(1, len(IDS), -1)
    width = before.shape[-1]
    vector = torch.linspace(-1, 1, width)
    wide = vector.repeat(flat.shape[-1] // width)
    if part != "mlp.neurons":
        other = one.other()[site].reshape(flat.shape)
    some = torch.arange(width) % 3 == 1
    neurons = torch.nonzero(some)[:, 0].tolist()
    columns = some.repeat(flat.shape[-1] // width)
    norms = before.norm(dim=-1, keepdim=True)
    cases: list[tuple[Any, Callable[[Tensor], Tensor]]] = [
        (Ablate(site), at(everywhere, torch.zeros_like)),
        (Ablate(site, by="mean"), lambda v: v.mean(dim=1, keepdim=True).expand_as(v)),
        (Ablate(site, by=vector), at(everywhere, lambda v: wide.expand_as(v))),
        (Ablate(site, neurons=neurons), at(lambda _: (..., columns), torch.zeros_like)),
        (Scale(site, -0.5, positions=[0, 3]), at(lambda _: (0, [0, 3]), lambda v: v * -0.5)),
        (Patch(site, vector, positions=2), at(lambda _: (0, 2), lambda v: wide.expand_as(v))),
        (Steer(site, vector, 2.0), lambda v: v + 2 * wide),
        (
            Steer(site, vector, 0.3, relative=True, positions=[1]),
            at(lambda _: (0, 1), lambda v: v + (0.3 * norms * vector / vector.norm()).reshape(flat.shape)),
        ),
        (Apply(site, torch.tanh), torch.tanh),
    ]
    if other is not None:
        trace = one.other()
        cases += [
            (Patch(site, trace), at(everywhere, lambda _: other)),
            (Ablate(site, by=trace, positions=[4, 5]), at(lambda _: (0, [4, 5]), lambda _: other)),
        ]
    if heads:
        chosen = slice(width, 2 * width)
        cases += [
            (Ablate(site, heads=[1]), at(lambda _: (..., chosen), torch.zeros_like)),
            (Patch(site, one.other(), heads=[1], positions=3), at(lambda _: (0, 3, chosen), lambda _: other)),
        ]
    unedited = one.answer(one.trace())
    for edit, change in cases:
        edited = one.trace(edits=edit)
        expected = one.plain(place, change)
        torch.testing.assert_close(
            one.answer(edited), expected, atol=2e-5, rtol=1e-4, msg=lambda m, e=edit: f"{e}: {m}"
        )
        assert not torch.allclose(expected, unedited, atol=1e-5), edit
        if part != "mlp.neurons":  # the recorded value is the edited one
            torch.testing.assert_close(edited[site].reshape(flat.shape), change(flat), atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_the_stream_between_attention_and_mlp_is_edited_in_the_stream_and_seen_by_the_mlp(family: str) -> None:
    one = subject(family)
    vector = torch.linspace(-1, 1, 32)
    for edit, change in (
        (Steer("layers.1.resid_mid", vector, 3.0, positions=[2]), at(lambda _: (0, 2), lambda v: v + 3 * vector)),
        (Ablate("layers.1.resid_mid"), at(everywhere, torch.zeros_like)),
    ):
        before, after = one.trace(), one.trace(edits=edit)
        middle = change(before["layers.1.resid_mid"])
        torch.testing.assert_close(after["layers.1.resid_mid"], middle, atol=2e-6, rtol=1e-4)
        torch.testing.assert_close(
            after["layers.1.resid_post"], middle + after["layers.1.mlp_out"], atol=2e-6, rtol=1e-4
        )
        # What attention gave came before the edit.
        assert torch.equal(after["layers.1.attn_out"], before["layers.1.attn_out"])
        whole = one.plain(PLACES[family]["attn_out"], lambda v, m=middle, b=before: m - b["layers.1.resid_pre"])
        torch.testing.assert_close(after.logits, whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("part", ["q", "k", "v"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_queries_keys_and_values_are_changed_as_attention_sees_them(family: str, part: str) -> None:
    one = subject(family)
    prefix = f"{one.prefix}layers.1.attn."
    before = one.trace()
    after = one.trace(edits=[Scale(prefix + part, 0.5, heads=1), Ablate(prefix + part, positions=[2], neurons=[0])])
    parts = {name: before[prefix + name] for name in "qkv"}
    parts[part][:, :, 1] *= 0.5
    parts[part][:, 2, :, 0] = 0
    torch.testing.assert_close(after[prefix + part], parts[part], atol=2e-6, rtol=1e-4)
    pattern = after.pattern(1, stack=one.prefix[:-1])
    groups = parts["q"].shape[2] // parts["k"].shape[2]
    raw = torch.einsum("bqhd,bkhd->bhqk", parts["q"], parts["k"].repeat_interleave(groups, 2))
    rows = torch.einsum("bqhd,bkhd->bhqk", before[prefix + "q"], before[prefix + "k"].repeat_interleave(groups, 2))
    scale = 1.0 if family == "t5" else before[prefix + "q"].shape[-1] ** -0.5
    scores = before[prefix + "scores"] + (raw - rows) * scale
    torch.testing.assert_close(pattern, scores.softmax(-1), atol=2e-6, rtol=1e-4)
    z = torch.einsum("bhqk,bkhd->bqhd", pattern, parts["v"].repeat_interleave(groups, 2))
    torch.testing.assert_close(after[prefix + "z"], z, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
def test_pattern_edits_name_queries_by_position_and_keys_by_neurons(family: str) -> None:
    one = subject(family)
    prefix = f"{one.prefix}layers.1.attn."
    before, other = one.trace(), one.other()
    kind, stack = "attn", one.prefix[:-1]
    for edit, index, new in (
        (Ablate(prefix + "pattern", heads=2, positions=[5], neurons=[0, 3]), (0, 2, 5, [0, 3]), 0.0),
        (Patch(prefix + "pattern", torch.tensor(0.25), heads=1, positions=4, neurons=1), (0, 1, 4, 1), 0.25),
        (Patch(prefix + "pattern", other, heads=[0]), (0, 0), other.pattern(1, stack=stack)[0, 0]),
        (Ablate(prefix + "pattern", by="mean", heads=3), (0, 3), before.pattern(1, stack=stack)[0, 3].mean(0)),
    ):
        pattern = before.pattern(1, stack=stack, kind=kind)
        pattern[index] = new
        after = one.trace(edits=edit)
        assert torch.allclose(after.pattern(1, stack=stack), pattern, atol=1e-7)
        value = before[prefix + "v"]
        z = torch.einsum("bhqk,bkhd->bqhd", pattern, value.repeat_interleave(pattern.shape[1] // value.shape[2], 2))
        torch.testing.assert_close(after[prefix + "z"], z, atol=2e-5, rtol=1e-4)
        expected = one.plain(PLACES[family]["attn.z"], lambda _, z=z: z.reshape(1, len(IDS), -1))
        torch.testing.assert_close(one.answer(after), expected, atol=2e-5, rtol=1e-4)
