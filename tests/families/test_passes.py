"""What a trace reads of a plain pass equals what eager transformers computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.families.cases import IDS, SHORT, WRITTEN, Attention, Case, equal
from tests.families.configs import FAMILIES, UNLISTED, VOCABULARY

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)
NO_SOFTMAX = {"mamba", "rwkv", "mamba2"}
# Computes its attention outside the interface, and would keep transformers' own hooks if it were asked for weights.
NOT_RECORDED = {"xglm"}


def weights_of(reference: Any, one: Attention, case: Case) -> torch.Tensor | None:
    """The eager twin's weights of one attention, or None where it gives none."""
    names = {
        ("encoder", "attn"): "encoder_attentions",
        ("decoder", "attn"): "decoder_attentions",
        ("decoder", "cross_attn"): "cross_attentions",
    }
    given = getattr(reference, names.get((one.stack, one.kind), "attentions"), None)
    if not given:
        return None
    given = [weights for weights in given if weights is not None]
    # Hybrid families list only the layers that attend.
    turn = [other for other in case.attentions() if (other.stack, other.kind) == (one.stack, one.kind)].index(one)
    assert len(given) == sum((o.stack, o.kind) == (one.stack, one.kind) for o in case.attentions())
    return given[turn]  # type: ignore[no-any-return]


@every_family
def test_attaching_leaves_the_model_as_it_was(case: Case) -> None:
    assert case.before == case.after


@every_family
def test_every_site_is_readable_and_has_its_shape(case: Case) -> None:
    lengths = {"encoder": len(IDS), "decoder": len(WRITTEN), "vision": 5}
    assert case.plain.sites() == case.model.sites()
    for prefix, layer, stack in case.layers():
        positions = lengths.get(stack.name, len(IDS) if case.family.text else 5)
        for part in ("resid_pre", "resid_mid", "resid_post", "attn_out", "cross_attn_out", "mlp_out"):
            if f"{prefix}{part}" in case.model.sites():
                value = case.plain[f"{prefix}{part}"]
                assert value.shape == (1, positions, stack.width), f"{prefix}{part}"
                assert torch.isfinite(value).all()
        if layer.neurons is not None:
            assert case.plain[f"{prefix}mlp.neurons"].shape[:2] == (1, positions)
    for one in case.attentions():
        heads = one.heads
        queries = lengths.get(one.stack, len(IDS) if case.family.text else 5)
        keys = len(IDS) if one.kind == "cross_attn" else queries
        width = next(stack.width for stack in case.stacks if stack.name == one.stack)
        shapes = {
            "q": (1, queries, heads.heads, heads.head_width),
            "k": (1, keys, heads.kv_heads, heads.head_width),
            "v": (1, keys, heads.kv_heads, heads.value_width),
            "scores": (1, heads.heads, queries, keys),
            "pattern": (1, heads.heads, queries, keys),
            "z": (1, queries, heads.heads, heads.value_width),
            "head_out": (1, queries, heads.heads, width),
            "out": (1, queries, width),
        }
        for part, shape in shapes.items():
            if one.prefix + part in case.model.sites():
                assert case.plain[one.prefix + part].shape == shape, one.prefix + part
        assert one.prefix + "pattern" in case.model.sites()
        assert one.prefix + "z" in case.model.sites()
        assert one.prefix + "out" in case.model.sites()
    if case.model.anatomy.vocabulary is not None:
        assert case.plain["logits"].shape[-1] == VOCABULARY


@every_family
def test_logits_and_hidden_states_equal_plain_transformers(case: Case) -> None:
    reference = case.reference
    if case.model.anatomy.vocabulary is not None:
        equal(case.plain.logits, reference.logits, "logits")
        equal(case.plain.last_logits, reference.logits[:, -1], "last logits")
    names = {"encoder": "encoder_hidden_states", "decoder": "decoder_hidden_states"}
    compared = 0
    for stack in case.stacks:
        given = getattr(reference, names.get(stack.name, "hidden_states"), None)
        # Recurrent families list what comes out of each layer, without the embeddings.
        first = 1 if case.family.family in NO_SOFTMAX else 0
        for index in range(first, len(stack.layers) if given else 0):
            equal(case.plain[f"{stack.prefix}layers.{index}.resid_pre"], given[index - first], f"layer {index}")
            compared += 1
    if case.family.family == "clip":  # the towers' states are inside the outputs of each
        for tower, output in (("text", reference.text_model_output), ("vision", reference.vision_model_output)):
            last = case.plain[f"{tower}.layers.{len(case.stacks[0].layers) - 1}.resid_post"]
            norm = case.plain["text.final_norm"] if tower == "text" else last
            equal(norm, output.last_hidden_state, tower)
            compared += 1
    assert compared >= 2


@every_family
def test_patterns_equal_plain_transformers_and_give_z(case: Case) -> None:
    if case.family.family in NO_SOFTMAX | NOT_RECORDED:
        assert not case.attentions()
        return
    assert case.attentions()
    for one in case.attentions():
        pattern = case.plain[one.prefix + "pattern"]
        weights = weights_of(case.reference, one, case)
        if weights is not None:
            equal(pattern, weights[..., : pattern.shape[-1]], one.prefix)
        else:
            assert case.family.family == "clip"
        row = case.plain.pattern(one.layer, heads=[2], queries=slice(-1, None), stack=one.stack, kind=one.kind)
        equal(row, pattern[:, [2], -1:], f"one row of {one.prefix}")
        if one.heads.how == "interface":
            value = case.plain[one.prefix + "v"].transpose(1, 2)
            value = value.repeat_interleave(one.heads.heads // one.heads.kv_heads, dim=1)
            equal((pattern @ value).transpose(1, 2), case.plain[one.prefix + "z"], one.prefix + "z")


@every_family
def test_a_padded_batch_equals_each_text_alone(case: Case) -> None:
    if not case.family.text or case.family.images:
        pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))
        texts = {"inputs": [IDS, IDS[::-1]]} if case.family.text else {}
        both = case.model.trace(**texts, images=pixels)
        for number in range(2):
            text = {"inputs": texts["inputs"][number]} if texts else {}
            alone = case.model.trace(**text, images=pixels[number])
            for prefix, _, _ in case.layers():
                equal(both[f"{prefix}resid_post"][[number]], alone[f"{prefix}resid_post"], prefix)
        return
    texts = [IDS, SHORT]
    written = [WRITTEN, WRITTEN[:2]] if case.family.seq2seq else None
    both = case.model.trace(texts, decoder=written, record=["*"])
    for number, ids in enumerate(texts):
        more = {"written": written[number]} if written else {}
        reference = case.ask(ids, **more)
        length = len(written[number]) if written else len(ids)
        if case.model.anatomy.vocabulary is not None:
            equal(both.logits[[number], :length], reference.logits, f"text {number}")
            equal(both.last_logits[number], reference.logits[0, -1], f"text {number}, last")
        alone = case.model.trace(ids, decoder=written[number] if written else None, record=["*"])
        for one in case.attentions():
            pattern = alone[one.prefix + "pattern"]
            rows, keys = pattern.shape[2:]
            equal(both[one.prefix + "pattern"][[number], :, :rows, :keys], pattern, one.prefix)
        for prefix, _, _ in case.layers():
            value = alone[f"{prefix}resid_post"]
            equal(both[f"{prefix}resid_post"][[number], : value.shape[1]], value, prefix)
