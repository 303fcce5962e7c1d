"""What may be opened: folders, weights that are pickles, code that comes with a model, the Hub without a network."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import explorer
from explorer.estimates import of_safetensors
from tests.conftest import tiny

_IDS = torch.tensor([[3, 1, 4, 1, 5]])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "saved"
    tiny("llama").save_pretrained(folder)
    _give_tokenizer(folder)
    return folder


def _give_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(97)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)


def _pickled(folder: Path) -> Path:
    hf = tiny("llama")
    hf.config.architectures = ["LlamaForCausalLM"]
    hf.config.save_pretrained(folder)
    torch.save(hf.state_dict(), folder / "pytorch_model.bin")
    _give_tokenizer(folder)
    return folder


def test_pickles_are_read_only_on_a_word_and_are_named_then(tmp_path: Path) -> None:
    folder = _pickled(tmp_path)
    with pytest.raises(explorer.Refused, match=r"only as pickles \(pytorch_model\.bin\).*allow_pickle=True"):
        explorer.load(folder)
    model = explorer.load(folder, allow_pickle=True)
    assert torch.equal(model.hf(_IDS).logits, tiny("llama")(_IDS).logits)
    assert "weights unpickled" in repr(model)
    assert "weights unpickled" in model._repr_html_()


def test_where_there_are_safetensors_no_pickle_is_read_whatever_is_allowed(saved: Path) -> None:
    (saved / "pytorch_model.bin").write_bytes(b"not a pickle at all")
    model = explorer.load(saved, allow_pickle=True)
    assert model.cautions == ()
    assert "unpickled" not in repr(model)


def test_a_pickle_that_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = _pickled(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02damaged")
    with pytest.raises(explorer.Refused, match="could not be opened"):
        explorer.load(folder, allow_pickle=True)


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path) -> None:
    folder, proof = _pickled(tmp_path), tmp_path / "proof"

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(proof),)

    torch.save({"model.embed_tokens.weight": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(explorer.Refused, match="could not be opened"):
        explorer.load(folder, allow_pickle=True)
    assert not proof.exists()


_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
open({proof!r}, "w").close()
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


def _with_code(folder: Path, proof: Path) -> Path:
    folder.mkdir()
    hf = tiny("llama")
    hf.save_pretrained(folder)
    _give_tokenizer(folder)
    (folder / "own.py").write_text(_CODE.format(proof=str(proof)))
    config = json.loads((folder / "config.json").read_text())
    config["model_type"], config["architectures"] = "own", ["OwnForCausalLM"]
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_code_that_comes_with_a_model_runs_only_on_a_word_and_is_named_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> str:
        raise AssertionError("a question was asked")

    monkeypatch.setattr("builtins.input", asked)
    proof = tmp_path / "proof"
    folder = _with_code(tmp_path / "own", proof)
    with pytest.raises(explorer.Refused, match=r"Python code that comes with the model.*trust_remote_code=True"):
        explorer.load(folder)
    assert not proof.exists()
    model = explorer.load(folder, trust_remote_code=True)
    assert proof.exists()
    assert torch.equal(model.hf(_IDS).logits, tiny("llama")(_IDS).logits)
    assert "runs its own code (OwnForCausalLM)" in repr(model)
    assert "runs its own code" in repr(explorer.attach(model.hf, model.tokenizer))


def test_weights_that_are_not_numbers_are_named_when_a_folder_is_opened(tmp_path: Path) -> None:
    hf = tiny("llama")
    with torch.no_grad():
        hf.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    hf.save_pretrained(tmp_path)
    _give_tokenizer(tmp_path)
    model = explorer.load(tmp_path)
    assert "model.layers.1.mlp.up_proj.weight hold NaN" in repr(model)
    with pytest.raises(explorer.Refused, match=r"up_proj\.weight"):
        model.trace("w5").next_tokens()


def test_a_tokenizer_of_another_size_is_refused_with_both_sizes(saved: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(saved)
    tokenizer.add_tokens([f"new{number}" for number in range(5)])
    tokenizer.save_pretrained(saved)
    model = explorer.load(saved)
    assert model.trace("w5").tokens.ids == [5]
    with pytest.raises(explorer.Refused, match=r"Token id 101 .* vocabulary of 97"):
        model.trace("new4")


@pytest.mark.parametrize("left", [0, 5, 300, -1])
def test_safetensors_that_were_cut_short_are_refused(saved: Path, left: int) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(explorer.Refused, match=r"model\.safetensors (is not|was cut short)"):
        explorer.load(saved)


def test_a_kind_of_quantisation_nobody_knows_is_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "made-up", "bits": 3}
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(explorer.Refused, match="quantised with 'made-up', which"):
        explorer.load(saved)


def test_more_than_the_memory_is_refused_with_ways_out(saved: Path) -> None:
    file, count = saved / "model.safetensors", 1 << 40
    entry = {"model.embed_tokens.weight": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}
    head = json.dumps(entry).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    with file.open("r+b") as opened:
        opened.truncate(8 + len(head) + 4 * count)  # takes no room on the disk
    assert of_safetensors([file]).floats == count
    with pytest.raises(
        explorer.Refused, match=r"about 4\.6 TB in float32; .* free on cpu.*dtype='bfloat16' takes 2\.3 TB"
    ):
        explorer.load(saved)


def test_what_is_estimated_is_what_the_weights_take(saved: Path) -> None:
    model = explorer.load(saved)
    weights = {id(weight): weight.numel() for weight in model.hf.parameters()}
    estimate = of_safetensors([saved / "model.safetensors"])
    assert estimate.floats == sum(weights.values())
    assert estimate.bytes(torch.bfloat16) == 2 * estimate.floats
    assert estimate.bytes("auto") == 4 * estimate.floats


def test_folders_that_hold_something_else_are_refused_with_what_to_do(saved: Path, tmp_path: Path) -> None:
    (saved / "model.safetensors").rename(saved / "weights.ckpt")
    with pytest.raises(explorer.Refused, match=r"no model\.safetensors; weights\.ckpt is not a file"):
        explorer.load(saved)
    other = tmp_path / "other"
    other.mkdir()
    (other / "tiny.gguf").write_bytes(b"GGUF")
    with pytest.raises(explorer.Refused, match=r"without config\.json; give the file tiny\.gguf"):
        explorer.load(other)
    with pytest.raises(explorer.Refused, match="is a file"):
        explorer.load(saved / "config.json")
    with pytest.raises(explorer.Refused, match="no meaning for a folder"):
        explorer.load(saved, revision="main")
    with pytest.raises(explorer.Refused, match="no folder, no file and no Hub id"):
        explorer.load("two words")


def _child(code: str, **environment: str) -> tuple[str, float]:
    """What a Python of its own says, and how long it took after its imports."""
    before = "import time, explorer, explorer.loading\nstarted = time.monotonic()"
    program = f"{before}\n{code}\nprint(time.monotonic() - started)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    *said, seconds = result.stdout.strip().splitlines()
    return "\n".join(said), float(seconds)


_REFUSED = "try: explorer.load('nobody/has-this-model')\nexcept explorer.Refused as error: print(error)"


def test_offline_a_hub_id_that_is_not_cached_is_refused_and_says_so(tmp_path: Path) -> None:
    said, seconds = _child(_REFUSED, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert "not in the Hugging Face cache and HF_HUB_OFFLINE is set" in said
    assert seconds < 60, "it hung instead of failing"


@pytest.fixture(params=["takes no connection", "takes connections and says nothing"])
def silent(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        held = [socket.socket() for _ in range(4)]
        if request.param == "takes no connection":
            # With its queue full it neither takes nor refuses one, like a network that swallows packets.
            listener.listen(0)
            for one in held:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
        else:
            listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for one in held:
            one.close()


def test_a_hub_that_never_answers_is_given_up(silent: str, saved: Path, tmp_path: Path) -> None:
    environment = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_ENDPOINT": silent, "no_proxy": "*"}
    said, seconds = _child(_REFUSED, **environment)
    assert "did not answer within 1.6 seconds" in said
    assert "HF_HUB_OFFLINE" in said
    assert seconds < 60, "it hung instead of failing"
    said, _ = _child(_REFUSED, **environment, HF_HUB_ETAG_TIMEOUT="1")
    assert "did not answer within 1.0 seconds" in said
    _keep(saved, tmp_path / "hub")
    opened = "model = explorer.load('someone/tiny'); made = model.trace([[3, 1, 4]]).provenance\n"
    said, seconds = _child(f"{opened}print(model.name, made.source, made.revision)", **environment)
    assert said == f"someone/tiny someone/tiny {'0' * 40}"
    assert seconds < 60, "it hung instead of opening what is cached"


def _keep(folder: Path, cache: Path) -> Path:
    """Puts a model into a Hugging Face cache, under the name someone/tiny."""
    repository = cache / "models--someone--tiny"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_a_cached_model_opens_offline(saved: Path, tmp_path: Path) -> None:
    snapshot = _keep(saved, tmp_path / "hub")
    code = "print(explorer.load('someone/tiny').name)"
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    assert _child(code, **environment, HF_HUB_OFFLINE="1")[0] == "someone/tiny"
    unreachable = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "no_proxy": "*"}
    assert _child(code, **environment, **unreachable)[0] == "someone/tiny"
    (snapshot / "model.safetensors").unlink()
    refused = "try: explorer.load('someone/tiny')\nexcept explorer.Refused as error: print(error)"
    assert "cache without its weights" in _child(refused, **environment, HF_HUB_OFFLINE="1")[0]
