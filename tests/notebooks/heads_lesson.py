"""What the lesson on heads says, checked where it ran: its numbers by plain transformers, its claims as they stand.

A model of transformers' own, with eager attention; a head is taken out by zeroing its part of what the output
projection is given. Nothing of Explorer computes here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from explorer import samples

_WIDTH = 64
Heads = Sequence[tuple[int, int]]


def check(lesson: Mapping[str, Any]) -> None:
    """Raises AssertionError where a number or a sentence of the lesson is wrong.

    Args:
        lesson: the names that its cells left behind.
    """
    hf = AutoModelForCausalLM.from_pretrained(str(samples.folder()), dtype=torch.float32, attn_implementation="eager")
    hf.eval()
    with torch.no_grad():
        _weights(hf, lesson)
        _losses(hf, lesson)
        _next_tokens(hf, lesson)
    _claims(lesson)


def _weights(hf: Any, lesson: Mapping[str, Any]) -> None:
    """The measures of the text, head by head, from eager weights."""
    ids = lesson["trace"].ids.reshape(1, -1)
    weights = torch.stack(hf(ids, output_attentions=True).attentions)[:, 0]  # (layer, head, query, key)
    previous = weights[:, :, 1:].diagonal(dim1=-2, dim2=-1)
    for name, expected in (("first", weights[:, :, 1:, 0]), ("previous", previous)):
        found = torch.tensor(lesson["measures"][name].to_numpy())
        torch.testing.assert_close(found, expected.mean(dim=-1).reshape(-1).double(), atol=1e-5, rtol=0)
    assert weights[18, 6, 19, 6] > 0.99


def _losses(hf: Any, lesson: Mapping[str, Any]) -> None:
    """Both curves, and the five draws."""
    ids, curves = lesson["ids"], lesson["curves"]
    for name, heads in (("all heads", []), ("without the five", lesson["top"])):
        expected = _loss(hf, ids, heads)
        torch.testing.assert_close(torch.tensor(curves[name].to_numpy()), expected, atol=1e-3, rtol=0)
    assert curves.loc[51:, "all heads"].mean() < 2.8
    assert curves.loc[51:, "without the five"].mean() > 11
    assert curves.loc[:49].to_numpy().mean() > math.log(49152) > 10.8 - 0.05
    for draw in lesson["draws"]:
        assert not {*draw} & {*lesson["top"]}
        assert _loss(hf, ids, draw)[50:].mean() < 3.5
    assert _loss(hf, ids, [(16, 0)])[50:].mean() > 8


def _next_tokens(hf: Any, lesson: Mapping[str, Any]) -> None:
    """What the lesson says of the name: spelt with all heads and with five halved ones, forgotten without the five."""
    ids = lesson["trace"].ids.reshape(1, -1)
    pt = int(ids[0, 6])
    for heads, factor, likeliest, chance in (
        ([], 1.0, True, 0.8),
        (lesson["top"], 0.0, False, 0.0),
        (lesson["top"], 0.5, True, 0.3),
    ):
        with _scaled(hf, heads, factor):
            row = hf(ids).logits[0, -1].softmax(dim=-1)
        assert (int(row.argmax()) == pt) is likeliest
        assert chance <= float(row[pt]) < chance + 0.06
        edits = [lesson["Scale"](f"layers.{layer}.attn.z", factor, heads=[head]) for layer, head in heads]
        told = lesson["model"].trace(lesson["text"], edits=edits).next_tokens(3)["probability"]
        torch.testing.assert_close(torch.tensor(told.to_numpy()).float(), row.topk(3).values, atol=1e-4, rtol=0)


def _claims(lesson: Mapping[str, Any]) -> None:
    """The sentences around the tables."""
    probe, induction, blind = lesson["probe"], lesson["induction"], lesson["blind"]
    assert [token.text for token in lesson["trace"].tokens][4:8] == [" Bl", "or", "pt", "ang"]
    assert lesson["resting"].sum() > 135
    assert float((lesson["fetched"][:, 0] / lesson["fetched"][:, 1:].median(dim=-1).values).max()) < 0.4
    assert lesson["top"] == [(18, 6), (17, 3), (17, 4), (17, 5), (18, 7)]
    assert probe.nlargest(1, "previous")[["layer", "head"]].to_numpy().tolist() == [[16, 0]]
    assert probe["induction"].median() < 0.01
    kept = (blind["induction"] / induction["induction"])[induction.index].tolist()
    assert kept[0] < 1 / 3
    assert max(kept[1:4]) < 0.05
    near = lesson["trace"].similar_heads(18, 6, n=5)
    assert len({*zip(near["layer"], near["head"], strict=True)} & {*lesson["top"]}) == 4
    assert {path.suffix for path in lesson["folder"].iterdir()} == {".html", ".svg"}


def _loss(hf: Any, ids: torch.Tensor, heads: Heads) -> torch.Tensor:
    """(position - 1,): in nats, the mean of the texts."""
    with _scaled(hf, heads, 0.0):
        logits = hf(ids).logits[:, :-1]
    return cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").mean(dim=0)


@contextmanager
def _scaled(hf: Any, heads: Heads, factor: float) -> Iterator[None]:
    """The model with what these heads have gathered multiplied."""
    with ExitStack() as undo:
        for layer, head in heads:

            def change(_module: Any, given: tuple[torch.Tensor], head: int = head) -> tuple[torch.Tensor]:
                mixed = given[0].clone()
                mixed[..., head * _WIDTH : (head + 1) * _WIDTH] *= factor
                return (mixed,)

            handle = hf.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(change)
            undo.callback(handle.remove)
        yield
