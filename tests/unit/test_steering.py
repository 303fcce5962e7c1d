"""Steering vectors from contrasting texts."""

from __future__ import annotations

import pytest
import torch

from explorer import Model, Refused, Steer, attach
from tests import tiny_tokenizers as zoo
from tests.conftest import snapshot, tiny

GOOD = ["Hello world", "Hello there, hello", "naïve café"]
BAD = ["东京", "首都"]


@pytest.fixture(scope="module")
def llama() -> Model:
    return attach(tiny("llama", vocab_size=400), zoo.byte_level())


@pytest.mark.parametrize(
    ("site", "shape"), [("layers.1.resid_post", (32,)), ("layers.1.attn.z", (4, 8)), ("embed", (32,))]
)
@pytest.mark.parametrize("position", [-1, 0])
def test_it_is_the_difference_of_the_means(llama: Model, site: str, shape: tuple[int, ...], position: int) -> None:
    before = snapshot(llama.hf)
    vector = llama.steering_vector(GOOD, BAD, site, position=position)
    means = [torch.stack([llama.trace(text)[site][0, position] for text in texts]).mean(0) for texts in (GOOD, BAD)]
    torch.testing.assert_close(vector, means[0] - means[1])
    assert vector.shape == shape
    assert not vector.requires_grad
    assert snapshot(llama.hf) == before


def test_steering_with_it_moves_one_text_onto_the_other(llama: Model) -> None:
    vector = llama.steering_vector("Hello world", "東京", "layers.1.resid_post")
    steered = llama.trace("東京", edits=Steer("layers.1.resid_post", vector, positions=[len(llama.read("東京")) - 1]))
    aim = llama.trace("Hello world")
    torch.testing.assert_close(steered["layers.1.resid_post"][:, -1], aim["layers.1.resid_post"][:, -1])


def test_what_cannot_be_compared_is_refused(llama: Model) -> None:
    site = "layers.1.resid_post"
    for positive, negative, at, position, sentence in (
        ([], BAD, site, -1, "positive is empty"),
        (GOOD, [], site, -1, "negative is empty"),
        (GOOD, [""], site, -1, "empty"),
        (GOOD, BAD, "layers.9.resid_post", -1, "not a site"),
        (GOOD, BAD, "layers.*.resid_post", -1, "not a site"),
        (GOOD, BAD, "layers.1.attn.pattern", -1, "no value that could be added"),
        (GOOD, BAD, "logits", -1, "no value that could be added"),
        (GOOD, BAD, site, 99, "position=99 is out of range: 'Hello world' has"),
        (GOOD, BAD, site, -99, "position=-99 is out of range"),
        (GOOD, BAD, site, True, "position=True"),
    ):
        with pytest.raises(Refused, match=sentence):
            llama.steering_vector(positive, negative, at, position=position)
    with pytest.raises(TypeError, match="positive holds a int"):
        llama.steering_vector([5], BAD, site)  # type: ignore[list-item]
