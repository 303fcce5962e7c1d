"""What a trace keeps: the same numbers as a full trace, in less memory, and refusals that name the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import explorer
from explorer import Ablate, Record, Refused, Steer, segments
from tests.conftest import tiny

IDS = [5, 17, 3, 88, 41, 9, 60, 2, 33, 71, 12]
RESIDUAL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "attn.out")


@pytest.fixture(scope="module", params=["llama", "gpt2", "opt", "gemma2", "granite"])
def model(request: pytest.FixtureRequest) -> explorer.Model:
    return explorer.attach(tiny(request.param))


@pytest.fixture(scope="module")
def llama() -> explorer.Model:
    return explorer.attach(tiny("llama"))


def held(trace: explorer.Trace) -> int:
    """Bytes of the distinct storages a trace holds."""
    seen = trace._recording
    tensors: list[torch.Tensor] = [*seen.hidden.values()]
    for calls in seen.attention.values():
        tensors += [getattr(calls[0], name) for name in ("query", "key", "value", "z")]
    for output in seen.outputs.values():
        tensors += segments.tensors_of(output)
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_without_options_it_is_the_list_or_the_default(model: explorer.Model) -> None:
    full = model.trace(IDS)
    assert model.trace(IDS, record=Record()).sites() == full.sites()
    named = model.trace(IDS, record=Record("layers.*.mlp.neurons"))
    assert named.sites() == model.trace(IDS, record=["layers.*.mlp.neurons"]).sites()
    assert named.positions is None
    assert model.trace(IDS, record="layers.1.resid_post").sites() == ["layers.1.resid_post", "logits"]


def test_chosen_layers_equal_the_full_trace(model: explorer.Model, unchanged: Callable[[explorer.Model], None]) -> None:
    unchanged(model)
    full, trace = model.trace(IDS), model.trace(IDS, record=Record(layers=1))
    inside = [site for site in full.sites() if site.startswith("layers.1.")]
    assert [site for site in trace.sites() if site.startswith("layers.")] == inside
    for site in (*inside, "logits", "embed", "final_norm"):
        torch.testing.assert_close(trace[site], full[site])
    with pytest.raises(Refused, match="was not recorded"):
        trace["layers.0.attn.q"]
    neurons = model.trace(IDS, record=Record("*.mlp.neurons", layers=[0, 2]))
    assert neurons.sites() == ["layers.0.mlp.neurons", "layers.2.mlp.neurons", "logits"]


@pytest.mark.parametrize(
    ("positions", "chosen"), [(4, [4]), ([0, 10], [0, 10]), (slice(-2, None), [9, 10]), ([7, 2], [7, 2])]
)
def test_chosen_positions_equal_the_full_trace(model: explorer.Model, positions: Any, chosen: list[int]) -> None:
    full, trace = model.trace(IDS), model.trace(IDS, record=Record(positions=positions))
    assert trace.positions == tuple(chosen)
    present = {site for site in full.sites() if site.rpartition("layers.1.")[2] in RESIDUAL and "layers.1" in site}
    assert present <= set(trace.sites())
    for site in (*present, "embed", "final_norm", "logits"):
        torch.testing.assert_close(trace[site], full[site][:, chosen], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(trace.last_logits, full.last_logits)
    assert trace.next_tokens(3).equals(full.next_tokens(3))
    assert not [site for site in trace.sites() if site.endswith((".q", ".k", ".v", ".z", ".pattern", ".head_out"))]


def test_several_texts_and_neurons_keep_their_positions(model: explorer.Model) -> None:
    texts = [IDS, [*IDS[:4], 80, *IDS[5:]]]
    full = model.trace(texts, record=["layers.1.mlp.neurons", "layers.1.resid_mid", "layers.0.resid_pre"])
    trace = model.trace(texts, record=Record("layers.*.mlp.neurons", positions=[3, 4]))
    assert trace.sites() == [*(f"layers.{layer}.mlp.neurons" for layer in range(3)), "logits"]
    torch.testing.assert_close(trace["layers.1.mlp.neurons"], full["layers.1.mlp.neurons"][:, [3, 4]])
    torch.testing.assert_close(trace.logits, full.logits[:, [3, 4]], atol=2e-5, rtol=1e-4)


def test_less_is_held(llama: explorer.Model) -> None:
    ids = [1 + index % 90 for index in range(60)]
    full = held(llama.trace(ids))
    assert held(llama.trace(ids, record=Record(layers=1))) < 0.6 * full
    # 16 residual-like rows of width 32 for each layer, and what belongs to the stack.
    assert held(llama.trace(ids, record=Record(positions=[59]))) < full / 60
    half = llama.trace(ids, record=Record(dtype="float16"))
    output = llama.trace(ids, record=Record("embed"))
    assert held(half) < 0.6 * full + held(output)


def test_dtype_and_device_are_of_what_is_kept(model: explorer.Model) -> None:
    full = model.trace(IDS)
    trace = model.trace(IDS, record=Record(dtype=torch.float64, device="cpu"))
    for site in full.sites():
        if site == "logits":
            continue
        assert trace[site].dtype == torch.float64, site
        torch.testing.assert_close(trace[site].float(), full[site], atol=3e-5, rtol=1e-4)
    assert trace.logits.dtype == torch.float32
    torch.testing.assert_close(trace.logits, full.logits)
    half = model.trace(IDS, record=Record(dtype="bfloat16"))
    assert half["layers.1.attn.pattern"].dtype == torch.bfloat16
    torch.testing.assert_close(half["layers.1.resid_post"].float(), full["layers.1.resid_post"], atol=5e-2, rtol=1e-2)
    moved = model.trace(IDS, record=Record("layers.1.resid_post", device="meta"))
    assert moved["layers.1.resid_post"].device.type == "meta"


def test_edits_act_the_same(model: explorer.Model) -> None:
    width = model.anatomy.stacks[0].width
    edits = [Ablate("layers.0.attn.z", heads=[1]), Steer("layers.1.resid_mid", torch.ones(width), 2.0)]
    full = model.trace(IDS, edits=edits)
    trace = model.trace(IDS, edits=edits, record=Record(positions=slice(-1, None), dtype="float64"))
    for site in ("layers.1.resid_mid", "layers.1.resid_pre", "layers.2.resid_post"):
        torch.testing.assert_close(trace[site].float(), full[site][:, -1:], atol=3e-5, rtol=1e-4)
        assert trace[site].shape[1] == 1
    torch.testing.assert_close(trace.logits, full.logits[:, -1:], atol=3e-5, rtol=1e-4)


def test_families_outside_the_interface() -> None:
    model = explorer.attach(tiny("gptj", n_embd=32, n_layer=3, n_head=4, rotary_dim=4, n_positions=64))
    full = model.trace(IDS)
    trace = model.trace(IDS, record=Record(layers=[2], positions=[1, 5]))
    assert "layers.2.attn.pattern" not in trace.sites()
    torch.testing.assert_close(trace["layers.2.attn.out"], full["layers.2.attn.out"][:, [1, 5]])
    torch.testing.assert_close(trace.logits, full.logits[:, [1, 5]], atol=3e-5, rtol=1e-4)


def test_encoders_keep_positions_and_images_count_theirs() -> None:
    from transformers import AutoConfig, AutoModel

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    bert = explorer.attach(AutoModel.from_config(AutoConfig.for_model("bert", vocab_size=97, **small)).eval())
    trace = bert.trace(IDS, record=Record(positions=[1, 3]))
    torch.testing.assert_close(trace["layers.1.resid_post"], bert.trace(IDS)["layers.1.resid_post"][:, [1, 3]])
    config = AutoConfig.for_model("vit", image_size=16, patch_size=8, **small)
    vit = explorer.attach(AutoModel.from_config(config).eval())
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    full = vit.trace(images=image)
    trace = vit.trace(images=image, record=Record(positions=slice(-1, None)))
    assert trace.positions == (4,)  # one for the class and four patches
    torch.testing.assert_close(trace["layers.1.resid_post"], full["layers.1.resid_post"][:, -1:])
    with pytest.raises(Refused, match="positions="):
        vit.trace(images=image, record=Record(positions=5))


def test_it_is_a_value() -> None:
    one = Record(["layers.1.*"], layers=[1], dtype="float16")
    assert one == Record(("layers.1.*",), layers=(1,), dtype=torch.float16)
    assert hash(one) == hash(Record("layers.1.*", layers=1, dtype=torch.float16))
    assert "layers=(1,)" in repr(one)
    with pytest.raises(AttributeError):
        one.layers = (2,)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"layers": 3}, r"layers=\(3,\) holds 3; allowed are 0 to 2"),
        ({"layers": [-1]}, r"layers=\(-1,\) holds -1"),
        ({"layers": True}, "layers=True holds True"),
        ({"layers": []}, "layers=.* must name at least one"),
        ({"layers": [1, 1]}, "layers=.* each once"),
        ({"layers": "1"}, "layers='1' holds '1'"),
        ({"layers": slice(0, 1)}, "layers=.* is a slice"),
        ({"positions": 11}, r"positions=\(11,\) holds 11; allowed are 0 to 10"),
        ({"positions": -1}, r"positions=\(-1,\) holds -1"),
        ({"positions": 1.5}, "positions=1.5 holds 1.5"),
        ({"positions": slice(20, None)}, "positions=.* chooses nothing"),
        ({"sites": "layers.1.attn.q", "positions": 1}, "positions=.* cannot be combined with site 'layers.1.attn.q'"),
        ({"sites": "layers.0.resid_post", "layers": 1}, "keeps nothing"),
        ({"sites": "layers.*.attn.z", "positions": 1}, "keeps nothing"),
        ({"sites": "layers.9.resid_post"}, "site='layers.9.resid_post'"),
        ({"sites": [3]}, "sites="),
        ({"dtype": "int8"}, "dtype='int8' is no floating dtype"),
        ({"dtype": "load"}, "dtype='load' is no floating dtype"),
        ({"device": "toaster"}, "device='toaster'"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    llama: explorer.Model, options: dict[str, Any], why: str, unchanged: Callable[[explorer.Model], None]
) -> None:
    unchanged(llama)
    with pytest.raises(Refused, match=why):
        llama.trace(IDS, record=Record(**options))


def test_positions_need_one_length_and_one_stack(llama: explorer.Model) -> None:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    with pytest.raises(Refused, match=r"positions=\(1,\) needs texts of one length"):
        llama.trace([IDS, IDS[:3]], record=Record(positions=1))
    config = AutoConfig.for_model("t5", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=97)
    t5 = explorer.attach(AutoModelForSeq2SeqLM.from_config(config).eval())
    with pytest.raises(Refused, match=r"positions=\(1,\) is for models with one stack"):
        t5.trace(IDS, decoder=[0, 7, 9], record=Record(positions=1))
    trace = t5.trace(IDS, decoder=[0, 7, 9], record=Record(layers=1, dtype="float64"))
    full = t5.trace(IDS, decoder=[0, 7, 9])
    site = "decoder.layers.1.cross_attn.pattern"
    torch.testing.assert_close(trace[site].float(), full[site], atol=1e-5, rtol=1e-4)


def test_narrowed_traces_are_not_continued(llama: explorer.Model) -> None:
    full, narrowed = llama.trace(IDS), llama.trace(IDS, record=Record(dtype="float16"))
    for trace in (
        llama.trace([*IDS, 7], reuse=narrowed),
        llama.trace([*IDS, 7], reuse=full, record=Record(positions=[11])),
    ):
        assert trace.reused == 0
        assert "chosen positions" in trace.reuse_note
    layer = llama.trace([*IDS, 7], reuse=full, record=Record(layers=[1]))
    assert layer.reused == len(IDS)
    torch.testing.assert_close(layer["layers.1.attn.k"], llama.trace([*IDS, 7])["layers.1.attn.k"])
