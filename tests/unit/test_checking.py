"""The self-check: every family passes, everything that is broken on purpose is caught, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import explorer
from explorer import attending, checking, recording
from explorer.anatomy import Anatomy, Heads, Layer
from explorer.attention import AttentionCall
from explorer.errors import Refused
from explorer.findings import Check, Finding
from tests.conftest import TINY_CAUSAL, snapshot, tiny


def tiny_bert() -> Any:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    return BertModel(BertConfig(vocab_size=97, initializer_range=0.2, **sizes)).eval()


def tiny_t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4, "vocab_size": 97}
    return T5ForConditionalGeneration(T5Config(decoder_start_token_id=0, **sizes)).eval()


def tiny_vit() -> Any:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    return ViTModel(ViTConfig(image_size=16, patch_size=8, **sizes)).eval()


GPTJ = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "rotary_dim": 4}
BUILDERS: dict[str, Callable[[], Any]] = {
    "llama": lambda: tiny("llama"),
    "gpt2": lambda: tiny("gpt2"),
    "gemma2": lambda: tiny("gemma2"),
    "gptj": lambda: tiny("gptj", **GPTJ),
    "bert": tiny_bert,
    "t5": tiny_t5,
}


def with_layer(anatomy: Anatomy, change: Callable[[Layer], Layer], index: int = 1) -> Anatomy:
    """The anatomy with one layer of the main stack changed."""
    main = anatomy.stack
    assert main is not None
    layers = tuple(change(layer) if i == index else layer for i, layer in enumerate(main.layers))
    return replace(anatomy, stacks=tuple(replace(s, layers=layers) if s is main else s for s in anatomy.stacks))


def with_heads(anatomy: Anatomy, change: Callable[[Heads], Heads]) -> Anatomy:
    def changed(layer: Layer) -> Layer:
        assert layer.attn is not None
        return replace(layer, attn=change(layer.attn))

    return with_layer(anatomy, changed)


def wrong_attn_out(anatomy: Anatomy) -> Anatomy:
    return with_layer(anatomy, lambda layer: replace(layer, attn_out=layer.mlp_out))


def wrong_factor(anatomy: Anatomy) -> Anatomy:
    def changed(layer: Layer) -> Layer:
        assert layer.mlp_out is not None
        return replace(layer, mlp_out=replace(layer.mlp_out, factor=1.01))

    return with_layer(anatomy, changed)


def wrong_projection(anatomy: Anatomy) -> Anatomy:
    """The output projection of another layer."""
    main = anatomy.stack
    assert main is not None
    other = main.layers[0].attn
    assert other is not None
    return with_heads(anatomy, lambda heads: replace(heads, projection=other.projection))


def wrong_head_count(anatomy: Anatomy) -> Anatomy:
    return with_heads(anatomy, lambda heads: replace(heads, heads=heads.heads // 2))


def swapped_layers(anatomy: Anatomy) -> Anatomy:
    main = anatomy.stack
    assert main is not None
    return with_layer(anatomy, lambda layer: replace(layer, path=main.layers[0].path, call=main.layers[0].call))


def a_module_that_is_not_there(anatomy: Anatomy) -> Anatomy:
    return with_layer(anatomy, lambda layer: replace(layer, attn_out=replace(layer.attn_out, path="nowhere")))  # type: ignore[type-var]


BREAKAGES = [
    wrong_attn_out,
    wrong_factor,
    wrong_projection,
    wrong_head_count,
    swapped_layers,
    a_module_that_is_not_there,
]


@pytest.mark.parametrize("family", [*TINY_CAUSAL, "gptj", "bert", "t5"])
def test_every_family_passes_and_stays_as_it_was(family: str) -> None:
    hf = BUILDERS[family]() if family in BUILDERS else tiny(family)
    before = snapshot(hf)
    model = explorer.attach(hf)
    check = model.check()
    assert check.passed, check
    assert model.capabilities.checked
    assert not model.capabilities.problems
    assert snapshot(hf) == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", [*BUILDERS, "gpt_oss", "granite"])
def test_rounding_of_half_precision_is_no_failure(family: str, dtype: torch.dtype) -> None:
    hf = BUILDERS[family]() if family in BUILDERS else tiny(family)
    model = explorer.attach(hf.to(dtype))
    assert not model.capabilities.problems
    check = model.check()
    assert check.passed, check


def test_images_are_checked_too() -> None:
    model = explorer.attach(tiny_vit())
    assert model.capabilities.checked
    assert model.check().passed
    assert model.check(torch.rand(2, 3, 16, 16)).passed


@pytest.mark.parametrize("family", BUILDERS)
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_anatomy_is_caught(family: str, breakage: Callable[[Anatomy], Anatomy]) -> None:
    hf = BUILDERS[family]()
    model = explorer.attach(hf)
    before = snapshot(hf)
    model.anatomy = breakage(model.anatomy)
    check = model.check()
    assert not check.passed, check
    assert snapshot(hf) == before


def test_a_wrong_final_norm_is_caught() -> None:
    model = explorer.attach(tiny("llama"))
    main = model.anatomy.stack
    assert main is not None
    wrong = replace(main, final_norm="model.layers.2.post_attention_layernorm")
    model.anatomy = replace(model.anatomy, stacks=(wrong,))
    assert [row.site for row in model.check().failures] == ["final_norm"]


@pytest.mark.parametrize("projection", ["q_proj", "k_proj", "v_proj"])
@pytest.mark.parametrize("family", ["llama", "gptj"])
def test_a_projection_of_the_same_attention_is_not_taken_for_its_output(family: str, projection: str) -> None:
    kv = {"num_key_value_heads": 4} if family == "llama" else GPTJ  # so that every projection has the same shape
    model = explorer.attach(tiny(family, **kv))

    def changed(heads: Heads) -> Heads:
        assert heads.projection is not None
        return replace(heads, projection=f"{heads.projection.rpartition('.')[0]}.{projection}")

    model.anatomy = with_heads(model.anatomy, changed)
    assert not model.check().passed


def _wrapped(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes what the registered attention function is given."""
    usual = attending.attend

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, **keywords: Any) -> Any:
        given = {"query": query, "key": key, "value": value, "mask": mask, **keywords}
        change(given)
        first = [given.pop(name) for name in ("query", "key", "value", "mask")]
        return usual(module, *first, **given)

    from transformers import AttentionInterface

    monkeypatch.setitem(AttentionInterface._global_mapping, recording.ATTENTION_NAME, attend)


def double_scaling(given: dict[str, Any]) -> None:
    given["scaling"] = 2.0 * given["scaling"]


def swap_queries_and_keys(given: dict[str, Any]) -> None:
    given["query"], given["key"] = given["key"], given["query"]


def drop_the_mask(given: dict[str, Any]) -> None:
    given["mask"] = None


ATTENDING = [
    *((family, double_scaling) for family in ("llama", "gpt2", "gemma2", "bert", "t5")),
    *((family, swap_queries_and_keys) for family in ("gpt2", "bert", "t5")),
    *((family, drop_the_mask) for family in ("gemma2", "bert", "t5")),
]


@pytest.mark.parametrize(("family", "change"), ATTENDING)
def test_attention_that_is_computed_differently_is_caught(
    family: str, change: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = explorer.attach(BUILDERS[family]())
    _wrapped(monkeypatch, change)
    failed = [row.what for row in model.check().failures]
    # Where queries and keys differ in number, the swapped pass does not even run.
    assert any("plain pass" in what or what == "recorded pass" for what in failed), failed


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "bert", "t5"])
def test_attention_that_is_remembered_wrongly_is_caught(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass itself is right; only what is kept of it is not."""

    def remembered(**values: Any) -> AttentionCall:
        return AttentionCall(**{**values, "scaling": 1.1 * values["scaling"]})

    monkeypatch.setattr(attending, "AttentionCall", remembered)
    model = explorer.attach(BUILDERS[family]())
    assert "z = weights @ v" in [row.what for row in explorer.attach(model.hf, check=False).check().failures]
    # It was noticed when the model was opened: its attention is left out, the rest is there.
    assert {way for _, way in model.capabilities.attention} == {"none"}
    assert any("weights @ v" in problem for problem in model.capabilities.problems)
    assert not any("attn.pattern" in site for site in model.sites())
    assert model.check().passed


def test_a_stream_that_differs_is_refused_with_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    hf = tiny("llama")
    before = snapshot(hf)
    real = checking.prepare
    from explorer import light_check

    def other_ids(*args: Any, **keywords: Any) -> Any:
        prepared = real(*args, **keywords)
        prepared.arguments["input_ids"] = prepared.arguments["input_ids"] + 1
        return prepared

    monkeypatch.setattr(light_check, "prepare", other_ids)
    with pytest.raises(
        Refused, match=r"resid_post = plain pass fails at layers\.1\.resid_post, it differs by .*check=False"
    ):
        explorer.attach(hf)
    unchecked = explorer.attach(hf, check=False)
    assert not unchecked.capabilities.checked
    assert "unchecked" in repr(unchecked)
    assert "unchecked" in unchecked._repr_html_()
    assert snapshot(hf) == before


@pytest.mark.parametrize(
    ("breakage", "gone", "kept"),
    [
        (wrong_projection, ("attn.head_out", "attn.out"), ("attn.pattern", "attn_out", "resid_post")),
        (wrong_factor, ("attn_out", "mlp_out", "resid_mid"), ("attn.pattern", "attn.head_out", "resid_post")),
    ],
)
def test_what_does_not_hold_when_a_model_is_opened_is_left_out_with_the_reason(
    breakage: Callable[[Anatomy], Anatomy],
    gone: tuple[str, ...],
    kept: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from explorer import model as models

    found = models.examine
    monkeypatch.setattr(models, "examine", lambda hf: breakage(found(hf)))
    model = explorer.attach(tiny("llama"))
    assert model.capabilities.checked
    assert any("left out after the self-check" in problem for problem in model.capabilities.problems)
    parts = {site.partition("layers.1.")[2] for site in model.sites()}
    assert parts.isdisjoint(gone)
    assert parts.issuperset(kept)
    assert "left out" in repr(model.anatomy)
    check = model.check()
    assert check.passed, check
    assert "not located" in [row.what for row in check.rows]


def test_capabilities_say_what_there_is() -> None:
    llama = explorer.attach(tiny("llama")).capabilities
    assert llama.attention == (("", "recorded"),)
    assert (llama.heads, llama.mixture, llama.cross, llama.logits, llama.additive) == (True, False, False, True, True)
    assert explorer.attach(BUILDERS["gptj"]()).capabilities.attention == (("", "weights"),)
    t5 = explorer.attach(tiny_t5()).capabilities
    assert dict(t5.attention) == {"encoder": "recorded", "decoder": "recorded"}
    assert t5.cross
    bert = explorer.attach(tiny_bert()).capabilities
    assert not bert.additive
    assert not bert.logits
    assert explorer.attach(tiny("gpt_oss")).capabilities.mixture


def test_in_float64_only_noise_of_float64_remains() -> None:
    model = explorer.attach(tiny("llama"))
    before = snapshot(model.hf)
    check = model.check(exact=True)
    assert check.passed, check
    assert check.dtype == "float64"
    assert model.dtype == torch.float32
    errors = {row.what: row.error for row in check.rows}
    assert errors["heads sum to attn.out"] < 1e-12
    assert errors["parts sum to resid_post"] < 1e-12
    assert snapshot(model.hf) == before


def test_a_small_error_hides_in_float32_but_not_in_float64() -> None:
    model = explorer.attach(tiny("llama"))

    def changed(layer: Layer) -> Layer:
        assert layer.mlp_out is not None
        return replace(layer, mlp_out=replace(layer.mlp_out, factor=1.0 + 1e-6))

    model.anatomy = with_layer(model.anatomy, changed)
    assert model.check().passed
    assert not model.check(exact=True).passed


def test_exact_is_refused_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    model = explorer.attach(tiny("llama"))
    monkeypatch.setattr(checking, "free_bytes", lambda _device: 1000)
    with pytest.raises(Refused, match=r"exact=True needs a copy .* in float64, about .* GB"):
        model.check(exact=True)


def test_own_inputs_are_read() -> None:
    model = explorer.attach(tiny("llama"))
    assert model.check([[5, 9, 3, 40], [8, 2, 60, 11]]).passed
    with pytest.raises(Refused, match="outside the model's vocabulary"):
        model.check([5, 1000])


def test_hooks_and_modes_of_the_user_are_kept() -> None:
    hf = tiny("gpt2").train()
    seen: list[int] = []
    hf.transformer.h[0].register_forward_hook(lambda *_: seen.append(1))
    before = snapshot(hf)
    assert explorer.attach(hf).check().passed
    assert seen
    assert snapshot(hf) == before


def test_a_check_reads_as_text_table_and_page() -> None:
    good = Finding("z = weights @ v", "layers.0.attn.z", 2e-7, 1e-4, True)
    bad = Finding("logits", "<b>", 0.5, 1e-4, False, "<script>alert(1)</script>")
    check = Check("tiny & small", "float32", (good, bad))
    assert not check.passed
    assert check.failures == (bad,)
    assert "1 of 2 comparisons fail" in repr(check)
    assert "FAIL logits" in repr(check)
    assert "<script>" not in check._repr_html_()
    assert "tiny &amp; small" in check._repr_html_()
    assert list(check.frame["passed"]) == [True, False]
    assert list(check.frame.columns) == ["what", "site", "error", "tolerance", "passed", "note"]


@pytest.mark.model
def test_the_sample_passes(sample: Any, unchanged: Callable[[Any], None]) -> None:
    unchanged(sample)
    check = sample.check()
    assert check.passed, check
    assert sample.capabilities.checked
    assert sample.capabilities.additive


@pytest.mark.model
def test_the_sample_encoder_passes(encoder: Any, unchanged: Callable[[Any], None]) -> None:
    unchanged(encoder)
    check = encoder.check()
    assert check.passed, check
    assert not encoder.capabilities.additive
