"""Steering the sample's real weights."""

from __future__ import annotations

import pytest

import explorer

PAIRS = [
    ("I love this film, it is wonderful", "I hate this film, it is terrible"),
    ("What a beautiful, happy day", "What an ugly, sad day"),
    ("The food was great and delicious", "The food was bad and disgusting"),
    ("She is kind, and everyone likes her", "She is cruel, and everyone hates her"),
]


@pytest.mark.model
def test_steering_moves_the_next_token_the_way_it_points(sample: explorer.Model) -> None:
    site, prompt = "layers.14.resid_post", "I think that the movie was very"
    good, bad = (sample.read(word).ids[0] for word in (" good", " bad"))
    vector = sample.steering_vector([p for p, _ in PAIRS], [n for _, n in PAIRS], site)
    gaps = []
    for strength in (-1.5, 0.0, 1.5):
        edits = [explorer.Steer(site, vector, strength)] if strength else []
        shares = sample.next_token(prompt, edits=edits).logits.softmax(-1)
        gaps.append(float((shares[good] / shares[bad]).log()))
    assert gaps[0] < gaps[1] < gaps[2]
