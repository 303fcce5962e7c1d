"""Notes that travel with what they are about: as the fixtures say, which the front end's tests read as well."""

from __future__ import annotations

import ast
import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from explorer import Model, Refused, Token, _notes
from explorer._pieces import Piece
from explorer.absent import AbsentModel
from explorer.attribution import _in_words
from explorer.capability import require_next_token
from explorer.note import Key, Note
from explorer.one_image import check_image
from explorer.positions import no_text
from explorer.token_cautions import remarks, warnings
from explorer.tokens import Labels, read_text
from tests import tiny_tokenizers as zoo
from widgets import wire
from widgets.attention_difference import _OTHER_OF_IMAGE
from widgets.attention_pictures import PicturesView, _nowhere
from widgets.attention_view import no_attention
from widgets.pictured import Pictured
from widgets.saved import Saved

_ROOT = Path(__file__).resolve().parents[2]
_TOLD: list[dict[str, Any]] = json.loads((_ROOT / "tests/fixtures/notes.json").read_text("utf-8"))
_TOKENIZER = SimpleNamespace(bos_token_id=1, bos_token="<s>", unk_token_id=0, unk_token="<unk>")


def _made() -> list[Note]:
    def specials(*names: str) -> list[Note]:
        pieces = [Piece(b"", name) for name in names]
        return _notes.typed_specials(_TOKENIZER, pieces, [9] * len(names), [True] * len(names))

    return [
        *_notes.surrogates(1),
        *_notes.surrogates(1200),
        *_notes.beginning(_TOKENIZER, [1, 1], True, [True, True]),
        *_notes.beginning(_TOKENIZER, [1, 1], True, [False, True]),
        *_notes.beginning(_TOKENIZER, [5], True, [True]),
        *specials("<|end|>"),
        *specials(*[f"<{n}>" for n in range(7)]),
        *_notes.literal_specials(_TOKENIZER, [Piece(b"a")], [9], [True], ["<|end|>", "<|start|>"], "a<|end|>"),
        *_notes.literal_specials(_TOKENIZER, [Piece(b"", "</s>")], [9], [True], ["<s>", "</s>"], "</s>"),
        *_notes.unknown(_TOKENIZER, [0], [True]),
        *_notes.unknown(_TOKENIZER, [0, 0, 0], [True] * 3),
        *_notes.dropped("\u200b"),
        _in_words("mean", True),
        _in_words("zero", False),
    ]


def _cautions() -> list[Note]:
    """One of each kind that the tokens of a text can give."""
    begun, plain, lower = zoo.sentencepiece_bpe(), zoo.byte_level(), zoo.wordpiece()
    said = read_text(plain, "a<|end|>")
    said.roles = ["user"] * len(said)
    return [
        *warnings(said, plain),
        *warnings(read_text(plain, "a\u202e \ufffde\u0301"), plain, vocabulary=len(plain) - 1, context=10),
        *remarks(read_text(begun, "龍"), begun),
        *remarks(read_text(begun, "龍龍"), begun),
        *remarks(read_text(plain, "capital"), plain),
        *remarks(read_text(lower, "The CAFÉ"), lower),
    ]


def _refused(call: Callable[..., Any], *args: Any) -> Note:
    with pytest.raises(Refused) as raised:
        call(*args)
    note = raised.value.args[0]
    assert isinstance(note, Note)
    assert str(raised.value) == note
    return note


def _refusals() -> list[Note]:
    """What panels show where the picture would be: of a saved trace without its model, and of prompts."""
    tiny: Any = SimpleNamespace(name="tiny", context=8192)
    saved: Any = SimpleNamespace(
        begins={"text": "a"},
        _path=Path("a.safetensors"),
        facts=SimpleNamespace(tokenizer=Labels([Token(1, "y", "text"), Token(2, "y", "text")])),
    )
    return [
        _refused(AbsentModel.refuse, tiny, "new_tokens"),
        _refused(AbsentModel.refuse, tiny, "logits"),
        _refused(Saved.checked, saved, "text", "b"),
        _refused(Saved.token_id, saved, "x", "target"),
        _refused(Saved.token_id, saved, "y", "against"),
        _refused(Saved.opening, saved, "a", True, False),
        _refused(Model.read, SimpleNamespace(tokenizer=1, hf=object()), ""),
        Model._too_long(tiny, 9000, "tokens").args[0],
        Model._too_long(tiny, 6_000_000, "characters").args[0],
        *_refusals_of_images(),
    ]


def _refusals_of_images() -> list[Note]:
    """What panels say where a model reads images, or where it lacks what they show."""
    none: Any = SimpleNamespace(vocabulary=None)
    both: Any = SimpleNamespace(vocabulary=9, routes_attention=True, stack=SimpleNamespace(causal=False))
    recurrent: Any = SimpleNamespace(stack=SimpleNamespace(layers=[SimpleNamespace(recurrent=True)]), missing="")
    seen: Any = SimpleNamespace(begins={"text": "a"}, _model=SimpleNamespace(name="tiny"))
    reads = {
        name: SimpleNamespace(name="tiny", tokenizer=None, hf=SimpleNamespace(main_input_name=name, config=object()))
        for name in ("pixel_values", "input_ids")
    }
    towers = SimpleNamespace(text_config=1, vision_config=1)
    view: Any = SimpleNamespace(about={"name": "tiny"}, read=lambda: SimpleNamespace(given={}), selection=None)
    return [
        _refused(Model.read, reads["pixel_values"], "a"),
        _refused(Model.read, SimpleNamespace(name="tiny", tokenizer=None, hf=SimpleNamespace(config=towers)), "a"),
        _refused(Model.read, reads["input_ids"], "a"),
        no_text("tiny").args[0],
        _refused(require_next_token, "tiny", none),
        _refused(require_next_token, "tiny", both),
        no_attention(recurrent, "tiny").args[0],
        no_attention(SimpleNamespace(stack=None, missing="its parts were not found"), "tiny").args[0],
        _refused(PicturesView._draw, view, None, 1),
        _nowhere("tiny", SimpleNamespace(name=""), vision=False),
        _nowhere("tiny", SimpleNamespace(name="vision"), vision=True),
        _refused(check_image, 4, 2),
        _refused(Pictured.checked, seen, "text", "b"),
        _refused(Pictured.model_for, seen, "new_tokens"),
        _refused(Pictured.model_for, seen, "gradients"),
        Note("other_of_image", _OTHER_OF_IMAGE),
    ]


@pytest.mark.parametrize("note", [*_made(), *_cautions(), *_refusals()], ids=lambda note: str(note.key))
def test_a_note_says_what_the_fixtures_have(note: Note) -> None:
    assert wire.traveling(note) in _TOLD


def _calls() -> list[tuple[str, set[str]]]:
    """Key and names of values of every note that the packages make."""
    found = []
    for path in sorted([*_ROOT.glob("explorer/*.py"), *_ROOT.glob("widgets/*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Note":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno} computes its key"
                found.append((str(node.args[0].value), {str(one.arg) for one in node.keywords}))
    return found


def test_every_note_that_is_made_is_among_the_fixtures_with_its_values() -> None:
    told = {told["key"]: set(told["about"]) for told in _TOLD}
    assert all(told[key] == names for key, names in _calls())
    assert {key for key, _names in _calls()} == set(told) == set(get_args(Key))


def test_a_note_is_a_string_and_stays_a_note_where_it_is_copied() -> None:
    note = Note("nan_weights", "Layer 3 has none.", layer=3)
    assert note == "Layer 3 has none."
    assert json.dumps([note]) == '["Layer 3 has none."]'
    for other in (copy.copy(note), copy.deepcopy(note), pickle.loads(pickle.dumps(note))):
        assert (other, other.key, other.about) == (note, "nan_weights", {"layer": 3})


def test_notes_inside_a_trait_are_spelled_out_and_nothing_else_changes() -> None:
    note, tokens = Note("stopped", "stopped"), [{"text": "a"}]
    said = wire.traveling(
        {"notes": ["plain", note], "results": {"one": {"baseline": note, "scores": [1.0]}}, "tokens": tokens}
    )
    spelled = {"key": "stopped", "about": {}, "text": "stopped"}
    assert said["notes"] == ["plain", spelled]
    assert said["results"] == {"one": {"baseline": spelled, "scores": [1.0]}}
    assert said["tokens"] == tokens
