"""Edits act at every step of a generation, over a cache, and inside attribution."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from explorer import Ablate, Apply, Model, Patch, Refused, Sampling, Scale, Steer, attach
from explorer.edits import Edit
from tests import tiny_tokenizers as zoo
from tests.conftest import snapshot, tiny

PROMPT = "Hello there 世"
SIZE = 400
GREEDY = Sampling(temperature=0.0)
VECTOR = torch.linspace(-2, 2, 32)
OTHERS: dict[str, dict[str, Any]] = {
    "gptj": {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
    "qwen3_moe": {
        "hidden_size": 32,
        "moe_intermediate_size": 16,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "norm_topk_prob": True,
    },
    "openai-gpt": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},  # keeps no cache
    "mamba": {"hidden_size": 32, "num_hidden_layers": 3},  # keeps a state
}


def made(family: str) -> Model:
    ends = {"bos_token_id": 1, "eos_token_id": SIZE - 1, "pad_token_id": 0}
    if family not in OTHERS:
        return attach(tiny(family, vocab_size=SIZE, eos_token_id=SIZE - 1), zoo.byte_level())
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=SIZE, **ends, **OTHERS[family])
    config.initializer_range = 0.2
    return attach(AutoModelForCausalLM.from_config(config).eval(), zoo.byte_level())


def edits_for(model: Model, prompt: int) -> list[list[Edit]]:
    """What can be asked of this model, positions in the prompt and after it among them."""
    sites = set(model.sites())
    lists: list[list[Edit]] = [
        [Steer("layers.1.resid_post", VECTOR, 1.0)],
        [Ablate("layers.0.resid_pre", positions=[1]), Steer("layers.1.resid_post", VECTOR, 0.5, relative=True)],
        [Apply("layers.*.resid_post", torch.tanh), Ablate("layers.2.resid_pre", positions=[prompt + 1])],
        [Patch("layers.1.resid_post", torch.linspace(-1, 2, prompt * 32).view(prompt, 32), positions=[0, prompt - 1])],
    ]
    if "layers.0.mlp.neurons" in sites:
        lists.append([Scale("layers.*.mlp_out", 0.3), Ablate("layers.0.mlp.neurons", neurons=range(9))])
    if "layers.0.attn.z" in sites:
        lists.append(
            [
                Ablate("layers.*.attn.z", heads=[1], positions=[0, prompt, prompt + 2]),
                Ablate("layers.0.attn.z", heads=3),
            ]
        )
        lists.append(
            [
                Ablate("layers.*.attn.head_out", heads=[1], positions=[1, prompt]),
                Steer("layers.1.attn.head_out", VECTOR, 0.5, heads=0),
            ]
        )
    if "layers.0.attn.k" in sites:
        lists.append(
            [Scale("layers.0.attn.k", 2.0, positions=[1]), Scale("layers.2.attn.v", 0.0, positions=[prompt + 1])]
        )
        lists.append([Scale("layers.*.attn.q", 3.0), Ablate("layers.1.attn.v", heads=0)])
        lists.append([Ablate("layers.*.attn.pattern", neurons=[0])])
        lists.append([Scale("layers.1.attn.pattern", 0.5, heads=[2], positions=[prompt + 1], neurons=[prompt, 1])])
        lists.append([Ablate("layers.*.attn.scores", neurons=[0], positions=[1, prompt, prompt + 2])])
        lists.append([Scale("layers.1.attn.scores", 2.0), Scale("layers.0.attn.scores", 0.5, heads=1, neurons=[1])])
    if "layers.0.router.weights" in sites:
        first, second = model.trace(PROMPT).experts(0)[0, 1].tolist()
        lists.append([Ablate("layers.0.router.weights", experts=first), Scale("layers.2.router.weights", 1.5)])
        lists.append([Patch("layers.0.router.weights", torch.tensor(0.4), experts=second, positions=[prompt + 1, 0])])
    return lists


def reaching(edit: Edit, length: int) -> Edit | None:
    """The edit as far as it reaches in a text of this length, or None."""
    edit = copy.copy(edit)
    for name in ("positions", "neurons"):
        chosen = getattr(edit, name)
        if chosen is not None and (name == "positions" or edit.site.endswith(("pattern", "scores"))):
            inside = tuple(index for index in chosen if index < length)
            if not inside:
                return None
            object.__setattr__(edit, name, inside)
    return edit


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt2", "opt", "granite", "gpt_oss", *OTHERS])
def test_every_step_equals_a_pass_over_the_whole_text_with_the_same_edits(family: str) -> None:
    model = made(family)
    ids = model.read(PROMPT).ids
    plain = model.generate(PROMPT, GREEDY, 6).finish()
    before, changed = snapshot(model.hf), 0
    for edits in edits_for(model, len(ids)):
        run = model.generate(PROMPT, GREEDY, 6, edits=edits)
        for step in run:
            so_far = [*ids, *run.ids[:-1]]
            reached = [here for edit in edits if (here := reaching(edit, len(so_far))) is not None]
            probabilities = model.trace(so_far, edits=reached).last_logits[0].softmax(-1)
            assert step.id == int(probabilities.argmax()), (edits, step.index)
            assert step.probability == pytest.approx(float(probabilities[step.id]), abs=2e-5), (edits, step.index)
        assert all(run.fired)
        changed += run.ids != plain.ids or [s.probability for s in run.steps] != [s.probability for s in plain.steps]
    assert changed == len(edits_for(model, len(ids)))
    assert snapshot(model.hf) == before


def test_what_cannot_be_done_while_a_text_grows_is_refused_up_front() -> None:
    model = made("llama")
    trace = model.trace(PROMPT)
    length = len(trace)
    ran: list[int] = []
    model.hf.register_forward_pre_hook(lambda *_: ran.append(1))
    for edit, sentence in (
        (Ablate("layers.0.mlp_out", by="mean"), "by='mean' needs the whole text"),
        (Ablate("layers.0.mlp_out", by=trace), "by of .* has a value for each position"),
        (Patch("layers.0.mlp_out", trace), "source of .* has a value for each position.*positions="),
        (Patch("layers.0.mlp_out", torch.zeros(length, 32)), "source of .* has a value for each position"),
        (Ablate("layers.0.mlp_out", positions=[length + 3]), f"never act: at most positions 0 to {length + 2}"),
        (Ablate("layers.9.mlp_out"), "is not a site of this model"),
        (Ablate("logits"), "can be read but not edited"),
    ):
        with pytest.raises(Refused, match=sentence):
            model.generate(PROMPT, GREEDY, 4, edits=edit)
    with pytest.raises(TypeError, match="edits"):
        model.generate(PROMPT, GREEDY, 4, edits=["Ablate"])  # type: ignore[list-item]
    assert ran == []
    last = model.generate(PROMPT, GREEDY, 4, edits=Ablate("layers.0.mlp_out", positions=[length + 2])).finish()
    assert last.fired == [1]
    patched = model.generate(PROMPT, GREEDY, 2, edits=Patch("layers.0.mlp_out", trace, positions=[1])).finish()
    assert patched.fired == [1]


def test_keys_that_a_sliding_cache_dropped_are_given_no_weight() -> None:
    model = made("mistral")
    run = model.generate(PROMPT, GREEDY, 9, edits=Patch("layers.0.attn.pattern", torch.tensor(0.1)))
    with pytest.raises(Refused, match=r"layers\.0\.attn\.pattern; use Scale or Ablate"):
        run.finish()


def test_a_failing_edit_ends_the_generation_and_leaves_nothing_behind() -> None:
    model = made("llama")
    before = snapshot(model.hf)
    calls: list[int] = []

    def third(value: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return value if len(calls) < 3 else value[..., :1]

    run = model.generate(PROMPT, GREEDY, 5, edits=Apply("layers.1.mlp_out", third))
    with pytest.raises(Refused, match=r"layers\.1\.mlp_out"):
        run.finish()
    assert len(run.steps) == 2
    assert snapshot(model.hf) == before


@pytest.mark.parametrize("family", ["llama", "gpt2", "gptj"])
def test_gradients_flow_through_edits(family: str) -> None:
    model = made(family)
    tokens = model.read(PROMPT)
    edits: list[Edit] = [
        Ablate("layers.0.attn.z", heads=[1]),
        Scale("layers.1.mlp_out", 0.5, positions=[1, 2]),
        Scale("layers.2.attn.head_out", 2.0, heads=[3]),
        Steer("layers.1.resid_post", VECTOR, 0.3, relative=True),
    ]
    if family != "gptj":  # which does not show its scores
        edits.append(Ablate("layers.1.attn.scores", heads=[0, 2], positions=[3, 4], neurons=[2]))
        edits.append(Scale("layers.2.attn.scores", 1.5))
    before = snapshot(model.hf)
    result = model.attribute(PROMPT, target=7, against=9, method="input_x_gradient", edits=edits)
    last = model.trace(PROMPT, edits=edits).last_logits[0]
    assert result.difference == pytest.approx(float(last[7] - last[9]), abs=1e-4)
    embeddings = model.hf.get_input_embeddings()(torch.tensor([tokens.ids])).detach()
    direction = torch.linspace(0, 1, len(tokens))[None, :, None]
    moved = []
    for sign in (1, -1):  # the derivative along the embeddings, each token in its own measure
        with torch.no_grad(), model.stoppable(edits):
            logits = model.hf(inputs_embeds=embeddings * (1 + sign * 1e-3 * direction)).logits[0, -1]
        moved.append(float(logits[7] - logits[9]))
    slope = (moved[0] - moved[1]) / 2e-3
    assert slope == pytest.approx(float((result.scores * direction.flatten()).sum()), rel=2e-2, abs=2e-2)
    integrated = model.attribute(PROMPT, target=7, against=9, edits=edits, steps=100)
    assert abs(integrated.convergence_delta or 0.0) < 0.1
    assert integrated.difference == pytest.approx(result.difference, abs=1e-4)
    assert snapshot(model.hf) == before


def test_gradients_flow_through_the_weights_of_experts() -> None:
    model = made("gpt_oss")
    tokens = model.read(PROMPT)
    first = int(model.trace(PROMPT).experts(1)[0, -1, 0])
    edits = [Scale("layers.1.router.weights", 3.0, experts=first), Scale("layers.0.router.weights", 0.5)]
    result = model.attribute(PROMPT, target=7, against=9, method="input_x_gradient", edits=edits)
    plain = model.attribute(PROMPT, target=7, against=9, method="input_x_gradient")
    assert not torch.allclose(result.scores, plain.scores, rtol=1e-2)
    twin = copy.deepcopy(model.hf)
    for layer, expert, factor in ((1, first, 3.0), (0, slice(None), 0.5)):
        experts: Any = twin.model.layers[layer].mlp.experts
        with torch.no_grad():
            experts.down_proj[expert] *= factor
            experts.down_proj_bias[expert] *= factor
    embeddings = twin.get_input_embeddings()(torch.tensor([tokens.ids])).detach().requires_grad_()
    logits = twin(inputs_embeds=embeddings).logits[0, -1]
    (gradient,) = torch.autograd.grad(logits[7] - logits[9], embeddings)
    torch.testing.assert_close(result.scores, (gradient * embeddings).sum(-1)[0].detach(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients"])
def test_what_an_edit_cuts_off_scores_zero(method: str) -> None:
    model = made("llama")
    result = model.attribute(PROMPT, target=7, method=method, edits=Patch("layers.1.resid_post", VECTOR))
    assert torch.equal(result.scores, torch.zeros(len(model.read(PROMPT))))
    with pytest.raises(Refused, match="out of range"):
        model.attribute(PROMPT, method=method, edits=Ablate("layers.1.attn.z", heads=4))
