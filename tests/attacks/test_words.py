"""Files whose container is right and whose words lie about what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import explorer
from tests.attacks.forging import Forgery

Check = Callable[[Path, str], None]
QUERY = "attention/layers.0.attn"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bad.safetensors"


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("2", "newer Explorer"),
        ("999999999", "newer Explorer"),
        ("0", "no Explorer writes"),
        ("-1", "no Explorer writes"),
        ("1.5", "no Explorer writes"),
        ("", "no Explorer writes"),
        ("1" * 5000, "no Explorer writes"),
        ("١", "no Explorer writes"),
    ],
)
def test_versions(forged: Forgery, path: Path, refused: Check, version: str, reason: str) -> None:
    forged.about["version"] = version
    refused(forged.write(path), reason)


def test_safetensors_of_something_else(forged: Forgery, path: Path, refused: Check) -> None:
    forged.about["format"] = "pt"
    refused(forged.write(path), "but no trace")
    forged.about = {}
    refused(forged.write(path), "but no trace")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"a": NaN}',
        '{"provenance": 1, "provenance": 2}',
        "__import__('os')",
        "[" + "{}," * 1_100_000 + "{}]",
    ],
)
def test_words_that_are_no_trace(forged: Forgery, path: Path, refused: Check, words: str) -> None:
    forged.words = words
    refused(forged.write(path), "path=")


REFUSED: dict[str, tuple[str, Any]] = {
    "a class that is made": ("anatomy", {"__class__": "os.system", "args": ["true"]}),
    "a layer that is a text": ("anatomy/stacks/0/layers/0", "model.layers.0"),
    "another kind of attention": ("anatomy/stacks/0/layers/0/attn/how", "exec"),
    "heads without end": ("anatomy/stacks/0/layers/0/attn/heads", 2**60),
    "no heads": ("anatomy/stacks/0/layers/0/attn/heads", 0),
    "other heads than there are": ("anatomy/stacks/0/layers/0/attn/heads", 8),
    "a head and a half": ("anatomy/stacks/0/layers/0/attn/heads", 1.5),
    "heads that are true": ("anatomy/stacks/0/layers/0/attn/heads", True),
    "another width": ("anatomy/stacks/0/width", 64),
    "no width": ("anatomy/stacks/0/width", 0),
    "a stack named with markup": ("anatomy/stacks/0/name", "<script>"),
    "no layers": ("anatomy/stacks/0/layers", []),
    "a parameter count as text": ("anatomy/parameters", "1"),
    "a provenance of numbers": ("provenance", [1, 2]),
    "a provenance of one thing more": ("provenance/password", "x"),
    "a seed that is a function": ("provenance/seed", "random.seed"),
    "a vocabulary of texts": ("vocabulary", ["a"]),
    "scaling that is no number": (f"{QUERY}/scaling", "1.0"),
    "scaling that is nothing": (f"{QUERY}/scaling", None),
    "causal as a number": (f"{QUERY}/causal", 1),
    "no queries": (f"{QUERY}/query", None),
    "queries as numbers": (f"{QUERY}/query", [1.0]),
    "queries that are not there": (f"{QUERY}/query", {"tensor": "attention.layers.9.attn.query"}),
    "queries by a path": (f"{QUERY}/query", {"tensor": "../../weights"}),
    "queries with another key": (f"{QUERY}/query", {"tensor": "hidden.layers.1.resid_post", "load": "x"}),
    "queries that are a stream": (f"{QUERY}/query", {"tensor": "hidden.layers.1.resid_post"}),
    "queries with axes twice": (f"{QUERY}/query/order", [0, 0, 1, 2]),
    "queries with too many axes": (f"{QUERY}/query/order", [0, 1, 2, 3, 4]),
    "queries turned about": (f"{QUERY}/query/order", [3, 2, 1, 0]),
    "keys that are ids": (f"{QUERY}/key", {"tensor": "tokens.0"}),
    "a mask that is a stream": (f"{QUERY}/mask", {"tensor": "hidden.layers.1.resid_post"}),
    "sinks that are a stream": (f"{QUERY}/sinks", {"tensor": "hidden.layers.1.resid_post"}),
    "a bias that is a query": (f"{QUERY}/bias", {"tensor": "attention.layers.0.attn.query"}),
    "a pattern that is a query": (f"{QUERY}/changed_pattern", {"tensor": "attention.layers.0.attn.query"}),
    "a window's begin that is a stream": (f"{QUERY}/since", {"tensor": "hidden.layers.1.resid_post"}),
    "a part that no attention has": (f"{QUERY}/hook", "x"),
    "an attention that no layer has": ("attention/layers.99.attn", {}),
    "a stream that no layer has": ("hidden/layers.99.resid_post", {"tensor": "hidden.layers.1.resid_post"}),
    "a stream at a path": ("hidden/..~..~etc", {"tensor": "hidden.layers.1.resid_post"}),
    "a stream of ids": ("hidden/layers.1.resid_post", {"tensor": "tokens.0"}),
    "logits that are a query": ("computed/logits", {"tensor": "attention.layers.0.attn.query"}),
    "half a lens": ("computed/lens.probabilities", {"tensor": "computed.logits"}),
    "something else that is computed": ("computed/shell", {"tensor": "computed.logits"}),
    "a head's part that is a query": ("computed/layers.0.attn.head_out", {"tensor": "computed.logits"}),
    "last logits of one axis more": ("last", {"tensor": "computed.logits"}),
    "a router at a path": ("outputs/..~..~etc", {"tensor": "computed.logits"}),
    "a router that is a dictionary": ("outputs/model.layers.0.mlp.router", {"a": 1}),
    "an argument with a dunder name": ("arguments/__class__.x", {"tensor": "argument.input_ids"}),
    "ids of other tokens": ("arguments/input_ids", {"tensor": "argument.attention_mask"}),
    "tokens that are text": ("batch/0", "text"),
    "a token too few": ("batch/0/texts", ["a"]),
    "a token that is a number": ("batch/0/texts/0", 5),
    "a token of no kind": ("batch/0/kinds/0", "script"),
    "tokens whose numbers are a stream": ("batch/0/numbers", {"tensor": "hidden.layers.1.resid_post"}),
    "lengths of other texts": ("lengths", [5, 3]),
    "lengths without end": ("lengths", [2**52, 2]),
    "labels too few": ("labels", {"ids": {"tensor": "tokens.0"}, "texts": [], "kinds": []}),
    "an edit of no kind": ("edits/0/kind", "Exec"),
    "an edit that is a text": ("edits/0", "os.system"),
    "an edit with a function": ("edits/0/function", "os.system"),
    "an edit of nowhere": ("edits/0/site", ""),
    "a function with a body": ("edits/0", {"kind": "Apply", "site": "layers.0.mlp_out", "function": "lambda: 0"}),
    "a factor that is no number": ("edits/0/factor", "2"),
    "a direction that is not there": ("edits/1/vector", {"tensor": "secret"}),
    "edits that fired without being there": ("fired", [1]),
    "positions from the end": ("positions", [-1]),
    "positions twice": ("positions", [1, 1]),
    "reuse that is a text": ("reused", "all"),
    "one word too many": ("code", "print()"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_words_that_lie(forged: Forgery, path: Path, refused: Check, name: str) -> None:
    where, value = REFUSED[name]
    before = json.dumps(forged.words)
    forged.put(where, value)
    assert json.dumps(forged.words) != before
    refused(forged.write(path), "path=|edit|kind=|site=|field|factor=|vector")


@pytest.mark.parametrize("key", ["provenance", "anatomy", "hidden", "batch", "narrowed"])
def test_words_that_are_missing(forged: Forgery, path: Path, refused: Check, key: str) -> None:
    del forged.words[key]
    refused(forged.write(path), "too much or too little")


@pytest.mark.parametrize("numbers", [[5, 0, 1, 0], [5, 0, 1, -1], [5, 0, 1, 2**40], [5, 7, 1, 1], [-5, 0, 1, 1]])
def test_groups_of_tokens_that_never_end(forged: Forgery, path: Path, refused: Check, numbers: list[int]) -> None:
    begin = forged.entries["tokens.0"]["data_offsets"][0]
    raw = b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
    forged.data = forged.data[:begin] + raw + forged.data[begin + len(raw) :]
    refused(forged.write(path), "groups|negative|not the ids")


@pytest.mark.parametrize("place", [(0, 2**40), (3, 1), (-1, 2), (-7, -7)])
def test_tokens_that_stand_outside_of_their_text(
    forged: Forgery, path: Path, refused: Check, place: tuple[int, int]
) -> None:
    begin = forged.entries["tokens.0"]["data_offsets"][0] + 4 * 8  # after id, group, part and parts of the first
    raw = b"".join(number.to_bytes(8, "little", signed=True) for number in place)
    forged.data = forged.data[:begin] + raw + forged.data[begin + len(raw) :]
    refused(forged.write(path), "outside of its text")


def test_numbers_that_are_not_finite(forged: Forgery, path: Path, refused: Check) -> None:
    for word in ("NaN", "Infinity", "1e999"):
        forged.put("attention/layers.0.attn/scaling", "HERE")
        forged.words = json.dumps(forged.words).replace('"HERE"', word)
        refused(forged.write(path), "no number of JSON|out of range")
        forged.words = json.loads(forged.words.replace(word, "1.0"))


def test_a_text_that_would_turn_the_page_about_is_shown_as_it_is_typed(forged: Forgery, path: Path) -> None:
    forged.put("batch/0/texts/0", "\u202e</script><img src=x onerror=alert(1)>\x00")
    forged.put("provenance/model", "<script>\u202e\n")
    trace = explorer.open_trace(forged.write(path))
    assert trace.batch[0][0].text == "⟨U+202E⟩</script><img src=x onerror=alert(1)>⟨U+0000⟩"
    page = trace.batch[0]._repr_html_() + trace.provenance._repr_html_()
    assert "<img" not in page
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\u202e" not in repr(trace.provenance)
