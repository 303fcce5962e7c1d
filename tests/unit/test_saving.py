"""Traces in files: what comes back is what was saved, and nothing half-written stays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import explorer
from explorer import Ablate, Apply, Patch, Record, Scale, Steer
from explorer.edits import Edit
from explorer.provenance import fingerprint
from explorer.saving import LENS_RANKS
from tests.conftest import TINY_CAUSAL, tiny

IDS = [5, 17, 3, 88, 41, 9, 60, 2]
SITES = ("layers.1.resid_post", "layers.2.attn.pattern", "layers.0.attn.q", "layers.2.mlp_out")


@pytest.fixture(scope="module")
def llama() -> explorer.Model:
    return explorer.attach(tiny("llama"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a trace.safetensors"


def through(trace: explorer.Trace, path: Path, **options: Any) -> Any:
    assert trace.save(path, **options) == path
    return explorer.open_trace(path)


def same(one: explorer.Trace, other: explorer.Trace) -> None:
    for site in one.sites():
        assert torch.equal(one[site], other[site]), site


@pytest.mark.parametrize("family", sorted(TINY_CAUSAL))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_dtype_stays_what_it_is(family: str, dtype: torch.dtype, path: Path) -> None:
    trace = explorer.attach(tiny(family).to(dtype), check=False).trace(IDS)
    opened = through(trace, path)
    same(opened, trace)
    assert opened["layers.1.resid_post"].dtype == dtype
    assert opened.last_logits.dtype == trace.last_logits.dtype
    assert opened.next_tokens(5).equals(trace.next_tokens(5))


def test_each_tensor_is_written_once_and_other_tools_read_it(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace(IDS)
    trace.save(path)
    tensors = load_file(path)
    assert torch.equal(tensors["hidden.layers.1.resid_post"], trace["layers.1.resid_post"])
    assert "hidden.layers.2.resid_pre" not in tensors  # the same tensor by another name
    with safe_open(path, framework="pt") as file:
        words = file.metadata()
    assert words["format"] == "explorer trace"
    assert json.loads(words["trace"])["provenance"]["family"] == "llama"


def test_a_batch_of_unequal_texts_keeps_each_last_row(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace([IDS, IDS[:3]])
    opened = through(trace, path, include="logits")
    same(opened, trace)
    assert torch.equal(opened.last_logits, trace.last_logits)
    assert [len(text) for text in opened.batch] == [8, 3]
    with pytest.raises(explorer.Refused, match="holds 2 texts"):
        _ = opened.tokens


def test_a_trace_in_segments_is_joined(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace([*IDS, 7, 8], reuse=llama.trace(IDS))
    assert trace.reused
    opened = through(trace, path, include=["logits", "head_out"])
    same(opened, trace)
    assert opened.reused == trace.reused


def test_chosen_positions_in_another_dtype_stay_chosen(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace(IDS, record=Record(positions=[1, 6], dtype="float16"))
    opened = through(trace, path, include=["logits", "lens"])
    same(opened, trace)
    assert opened.positions == (1, 6)
    assert opened.lens(k=3).equals(trace.lens(k=3))
    with_model = explorer.open_trace(path, model=llama)
    assert torch.equal(with_model.logits, trace.logits)


def test_the_lens_reads_the_same_from_the_file(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace(IDS)
    opened = through(trace, path, include="lens")
    assert opened.lens().equals(trace.lens())
    assert opened.lens(layers=[2], positions=slice(-2, None), k=1).equals(
        trace.lens(layers=[2], positions=slice(-2, None), k=1)
    )
    with pytest.raises(explorer.Refused, match=f"1 to {LENS_RANKS}"):
        opened.lens(k=LENS_RANKS + 1)
    with pytest.raises(explorer.Refused, match="layers="):
        opened.lens(layers=[3])
    with pytest.raises(explorer.Refused, match=r"include=\['lens'\]"):
        through(trace, path, overwrite=True).lens()


def test_logits_that_were_read_are_saved(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace(IDS)
    expected = trace.logits
    opened = through(trace, path)
    assert torch.equal(opened.logits, expected)
    opened.logits.zero_()
    assert torch.equal(opened.logits, expected)


def test_a_change_of_what_is_read_reaches_neither_trace_nor_file(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace(IDS)
    opened = through(trace, path, include=["logits", "head_out"])
    before = path.read_bytes()
    for site in opened.sites():
        opened[site].fill_(3.0)
    opened.last_logits.fill_(3.0)
    same(opened, trace)
    assert path.read_bytes() == before


def test_edits_travel_as_values(llama: explorer.Model, path: Path) -> None:
    other = llama.trace(IDS[::-1])
    edits: list[Edit] = [
        Ablate("layers.0.attn.z", heads=[1]),
        Scale("layers.1.mlp_out", 0.5, positions=[2]),
        Patch("layers.1.resid_post", other, positions=[3]),
        Steer("layers.2.resid_pre", torch.arange(32.0), 2.0),
        Apply("layers.2.mlp_out", torch.neg),
        Ablate("layers.*.attn.q", by=other),
    ]
    trace = llama.trace(IDS, edits=edits)
    opened = through(trace, path)
    same(opened, trace)
    assert opened.edits[:2] == trace.edits[:2]
    assert opened.edits[2] == Patch("layers.1.resid_post", other["layers.1.resid_post"], positions=[3])
    assert opened.edits[3] == trace.edits[3]
    assert opened.fired == trace.fired
    assert opened.provenance.edits == tuple(map(repr, trace.edits))
    again = llama.trace(IDS, edits=opened.edits[:4])
    assert torch.equal(again.logits, llama.trace(IDS, edits=edits[:4]).logits)
    for edit in opened.edits[4:]:
        with pytest.raises(explorer.Refused, match="did not travel"):
            llama.trace(IDS, edits=[edit])


def test_an_opened_trace_is_a_source_of_patches_and_no_prefix(llama: explorer.Model, path: Path) -> None:
    trace = llama.trace(IDS)
    opened = through(trace, path)
    patch = {"positions": [2]}
    one, two = (
        llama.trace(IDS[::-1], edits=[Patch("layers.1.resid_post", t, **patch)]).logits for t in (trace, opened)
    )
    assert torch.equal(one, two)
    after = llama.trace([*IDS, 4], reuse=opened)
    assert after.reused == 0
    assert "another model" in after.reuse_note


def test_an_opened_trace_can_be_saved_again(llama: explorer.Model, path: Path, tmp_path: Path) -> None:
    trace = llama.trace(IDS)
    first = through(trace, path, include=["lens", "head_out"])
    second = through(first, tmp_path / "second.safetensors")
    same(second, first)
    assert second.provenance == first.provenance
    assert second.lens().equals(first.lens())
    with pytest.raises(explorer.Refused, match="weights"):
        first.save(tmp_path / "third.safetensors", include="logits")
    assert not (tmp_path / "third.safetensors").exists()
    complete = explorer.open_trace(path, model=llama)
    complete.save(tmp_path / "third.safetensors", include="logits")
    assert torch.equal(explorer.open_trace(tmp_path / "third.safetensors").logits, trace.logits)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_what_was_recorded_while_writing_is_saved_with_its_seed(family: str, path: Path) -> None:
    from tests.tiny_tokenizers import byte_level

    model = explorer.attach(tiny(family, vocab_size=420), byte_level())
    written = model.generate("once upon", explorer.Sampling(seed=7), 6, record=True).finish()
    trace = written.trace()
    opened = through(trace, path)
    same(opened, trace)
    assert opened.provenance.seed == opened.seed == 7
    again = model.generate("once upon", explorer.Sampling(seed=opened.seed), 6).finish()
    assert again.tokens.ids == written.tokens.ids


def test_saving_leaves_the_model_as_it_was(path: Path, unchanged: Callable[[explorer.Model], None]) -> None:
    model = explorer.attach(tiny("gpt2", attn_pdrop=0.5).train())
    unchanged(model)
    model.trace(IDS).save(path, include=["logits", "lens", "head_out", "patterns"])
    explorer.open_trace(path, model=model)


def test_provenance_says_what_made_it(llama: explorer.Model, path: Path) -> None:
    import transformers

    opened = through(llama.trace(IDS, edits=[Scale("layers.0.mlp_out", 2.0)]), path)
    facts = opened.provenance.to_dict()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["ids"] == [IDS]
    assert facts["dtype"] == "float32"
    assert facts["device"] == "cpu"
    assert facts["kernel"] == llama.hf.config._attn_implementation
    assert facts["attention"] == {"": "recorded"}
    assert facts["edits"] == ["Scale('layers.0.mlp_out', factor=2.0)"]
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["versions"]["transformers"] == transformers.__version__
    assert facts["seed"] is None
    assert facts["weights"] == fingerprint(llama)
    assert "float32" in repr(opened.provenance)
    assert "<table>" in opened.provenance._repr_html_()


def test_the_fingerprint_tells_weights_apart() -> None:
    one, two = explorer.attach(tiny("llama")), explorer.attach(tiny("llama"))
    assert fingerprint(one) == fingerprint(two)
    with torch.no_grad():
        two.hf.model.layers[1].mlp.down_proj.weight[0, 0] += 1e-3
    assert fingerprint(one) != fingerprint(two)


def test_another_model_is_refused(llama: explorer.Model, path: Path) -> None:
    llama.trace(IDS).save(path)
    with pytest.raises(explorer.Refused, match="other weights"):
        explorer.open_trace(path, model=explorer.attach(tiny("llama", rope_theta=77.0)))
    with pytest.raises(explorer.Refused, match="float32"):
        explorer.open_trace(path, model=explorer.attach(tiny("llama").bfloat16(), check=False))
    with pytest.raises(TypeError, match=r"explorer\.load"):
        explorer.open_trace(path, model="llama")  # type: ignore[arg-type]


def test_a_model_that_changed_since_gives_nothing_late(path: Path) -> None:
    model = explorer.attach(tiny("llama"))
    trace = model.trace(IDS)
    with torch.no_grad():
        model.hf.lm_head.weight.mul_(2.0)
    with pytest.raises(explorer.Refused, match="changed since"):
        trace.save(path, include="logits")
    opened = through(trace, path)
    assert opened.provenance.weights == ""
    assert torch.equal(opened.last_logits, trace.last_logits)
    with pytest.raises(explorer.Refused, match="had been changed"):
        explorer.open_trace(path, model=model)


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(llama: explorer.Model, path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(explorer.Refused, match="overwrite=True"):
        llama.trace(IDS).save(path)
    assert path.read_text() == "mine"
    same(through(llama.trace(IDS), path, overwrite=True), llama.trace(IDS))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["a.pt", "a", "missing/a.safetensors", "a.safetensors/b.safetensors"])
def test_paths_that_cannot_be_written_are_refused(llama: explorer.Model, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.safetensors").mkdir(exist_ok=True)
    (tmp_path / "a.safetensors" / "b.safetensors").mkdir()
    with pytest.raises(explorer.Refused, match="path="):
        llama.trace(IDS).save(tmp_path / name)


def test_an_unknown_word_of_include_is_refused(llama: explorer.Model, path: Path) -> None:
    with pytest.raises(explorer.Refused, match="'logits', 'lens', 'head_out', 'patterns'"):
        llama.trace(IDS).save(path, include=["logit"])


@pytest.mark.skipif(sys.platform == "win32", reason="2026-11: Windows has no limit on a file's size to run into")
def test_a_full_disk_leaves_nothing_behind(llama: explorer.Model, path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(explorer.Refused, match="Nothing was left behind"):
            llama.trace(IDS).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(path.parent.iterdir()) == []


def test_saving_that_is_stopped_leaves_nothing_behind(llama: explorer.Model, path: Path) -> None:
    from explorer.control import controlled

    class Stop:
        left = 12

        def cancelled(self) -> bool:
            self.left -= 1
            return self.left < 0

        def progress(self, done: float, note: str) -> None: ...

        def passing(self, done: float) -> None: ...

    trace = llama.trace(IDS)
    with pytest.raises(explorer.Cancelled), controlled(Stop()):
        trace.save(path)
    assert list(path.parent.iterdir()) == []


def test_it_opens_without_the_models_code(llama: explorer.Model, path: Path) -> None:
    llama.trace(IDS).save(path, include="lens")
    script = (
        "import sys, explorer\n"
        "trace = explorer.open_trace(sys.argv[1])\n"
        "trace.pattern(1), trace.lens(), trace.next_tokens(3), repr(trace), trace.provenance\n"
        "heavy = [m for m in sys.modules if m.startswith(('transformers.models.', 'transformers.modeling_utils'))]\n"
        "assert not heavy, heavy\n"
        "assert 'explorer.model' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_text_is_shown_without_a_tokenizer(path: Path) -> None:
    from tests.tiny_tokenizers import byte_level

    model = explorer.attach(tiny("llama", vocab_size=400), byte_level())
    trace = model.trace("中 is\u202e a\n<b>")
    opened = through(trace, path)
    assert opened.tokens == trace.tokens
    assert opened.tokens.source == trace.tokens.source
    assert opened.tokens.groups == trace.tokens.groups
    assert opened.next_tokens(20).equals(trace.next_tokens(20))
    assert opened.tokens._repr_html_() == trace.tokens._repr_html_()
