"""What a form and a placement are said to take, held against models that were opened; and the ways out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import explorer
from explorer import placement, quantising
from explorer.estimates import Estimate, of_safetensors
from explorer.fitting import Opening, Shape, check, shape_of
from explorer.quantising import bits
from tests.conftest import tiny
from tests.model.test_forms import folder

CPU = torch.device("cpu")
GB = 10**9


def _wide() -> Any:
    return tiny("llama", hidden_size=64, intermediate_size=128, head_dim=16)


def _shape(hf: Any) -> Shape:
    return shape_of(AutoModelForCausalLM.from_config, hf.config)


def _held(weight: Any) -> int:
    """The bytes that a weight really holds, its scales among them."""
    if bits(weight) == 4:
        return int(weight.data.nbytes + weight.quant_state.absmax.nbytes)
    return int(weight.qdata.nbytes + weight.scale.nbytes) if bits(weight) == 8 else int(weight.nbytes)


@pytest.mark.parametrize("kind", [None, "int8", "int4"])
def test_what_few_bits_take_is_told_beforehand(kind: str | None, tmp_path: Path) -> None:
    hf = _wide()
    told = _shape(hf).bytes(Opening(torch.float32, CPU, kind), 4)
    model = explorer.load(folder(tmp_path, hf), quantize=kind)
    assert told[""] == sum(_held(weight) for weight in model.hf.parameters())
    rounded = {name for name, weight in model.hf.named_parameters() if bits(weight)}
    assert rounded == (_shape(hf).rounded if kind else set())


def test_counting_leaves_no_data_and_no_trace(tmp_path: Path) -> None:
    hf = _wide()
    before, random = hf.config.to_dict(), torch.get_rng_state()
    shape = _shape(hf)
    assert {name: entries for name, (entries, _) in shape.sizes.items()} == {
        name: weight.numel() for name, weight in hf.named_parameters()
    }
    assert hf.config.to_dict() == before
    assert torch.equal(torch.get_rng_state(), random)


def test_a_map_of_devices_is_counted_place_by_place() -> None:
    hf = _wide()
    places = {"model": "disk", "model.layers.1": 0, "model.layers.1.mlp": "cuda:1", "lm_head": "cpu"}
    told = _shape(hf).bytes(Opening(torch.float32, places), 4)
    layer = hf.model.layers[1]
    assert told["cuda:1"] == 4 * sum(weight.numel() for weight in layer.mlp.parameters())
    assert told["cuda:0"] == 4 * sum(weight.numel() for weight in layer.parameters()) - told["cuda:1"]
    assert sum(told.values()) == 4 * sum(weight.numel() for weight in hf.parameters())
    assert placement.of("model.layers.11.mlp.weight", places) == "disk"
    assert placement.of("other.weight", places) == "cpu"


def _refusal(asked: Opening, free: dict[str, int], shape: Shape | None, *, quantisable: bool = True) -> str:
    count = 10 * GB
    with pytest.raises(explorer.Refused) as caught:
        check("big", Estimate(count, 2 * count), asked, lambda: shape, quantisable=quantisable, free=free)
    return str(caught.value)


def _large() -> Shape:
    """Nine of ten thousand million weights are in linear layers."""
    sizes = {"embed.weight": (GB, 1000), **{f"layers.{n}.weight": (GB, 1000) for n in range(9)}}
    return Shape(sizes, frozenset(name for name in sizes if name != "embed.weight"))


def test_ways_out_are_those_that_save_and_say_whether_they_fit() -> None:
    said = _refusal(Opening(torch.float32, CPU), {"cpu": 15 * GB}, _large())
    assert "has 10,000,000,000 weights and takes about 42.0 GB in float32; 15.0 GB are free on cpu" in said
    assert "dtype='bfloat16' takes 21.0 GB, still too much" in said
    assert "quantize='int8' takes 13.7 GB, which fits" in said  # 9 + 4 thousand million bytes, and a twentieth
    assert "quantize='int4' takes 9.5 GB, which fits" in said
    assert "device=" not in said
    said = _refusal(Opening(torch.float32, CPU), {"cpu": 8 * GB}, _large())
    assert "quantize='int4' takes 9.5 GB, still too much" in said
    assert "dtype='bfloat16', quantize='int4' takes 7.4 GB, which fits" in said
    assert "on 'disk'" not in said
    said = _refusal(Opening(torch.float32, CPU), {"cpu": GB}, _large())
    assert "dtype='bfloat16', quantize='int4' takes 7.4 GB, still too much" in said
    assert "leaves some on 'disk'" in said


def test_a_form_that_was_asked_for_is_the_one_that_is_weighed() -> None:
    said = _refusal(Opening("auto", CPU, "int8"), {"cpu": 7 * GB}, _large())
    assert "takes about 11.6 GB as stored with quantize='int8'" in said
    assert "quantize='int4' takes 7.4 GB, still too much" in said
    assert "dtype=" not in said  # it is stored in two bytes
    check("big", Estimate(10 * GB, 20 * GB), Opening("auto", CPU, "int8"), _large, free={"cpu": 12 * GB})
    said = _refusal(Opening(torch.float32, CPU), {"cpu": 15 * GB}, _large(), quantisable=False)
    assert "quantize" not in said


def test_several_devices_count_together_and_are_offered() -> None:
    free = {"cuda:0": 20 * GB, "cuda:1": 20 * GB, "cpu": 10 * GB}
    said = _refusal(Opening(torch.float32, torch.device("cuda:0")), free, _large())
    assert "20.0 GB are free on cuda:0" in said
    assert "device='auto' takes 42.0 GB, which fits" in said
    check("big", Estimate(10 * GB, 20 * GB), Opening(torch.float32, "auto"), free=free)
    said = _refusal(Opening(torch.float32, "auto"), {"cuda:0": 20 * GB, "cpu": 10 * GB}, _large())
    assert "30.0 GB are free on all devices together" in said
    assert "device='auto'" not in said
    places = {"": "cuda:0", **{f"layers.{number}": "cpu" for number in range(9)}}
    said = _refusal(Opening(torch.float32, places), free, _large())
    assert "takes about 37.8 GB in float32 on cpu; 10.0 GB are free on cpu" in said
    check("big", Estimate(10 * GB, 20 * GB), Opening(torch.float32, {"": "disk"}), _large, free=free)


def test_where_the_shape_cannot_be_told_nothing_that_might_fit_is_refused() -> None:
    asked = Opening(torch.float32, CPU, "int4")
    check("big", Estimate(10 * GB, 20 * GB), asked, lambda: None, free={"cpu": 6 * GB})
    assert "5.9 GB" in _refusal(asked, {"cpu": 5 * GB}, None)
    check("big", Estimate(10 * GB, 20 * GB), Opening(torch.float32, {"": "cpu"}), lambda: None, free={"cpu": GB})


def test_a_quantised_model_that_is_too_large_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    path = folder(tmp_path, tiny("llama"))
    config = tiny("llama").config
    config.hidden_size, config.intermediate_size, config.head_dim = 1 << 18, 1 << 19, 1 << 16
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(path)
    shape = shape_of(AutoModelForCausalLM.from_config, config)
    entries, at = {}, 0
    for name, (count, rows) in shape.sizes.items():
        entries[name] = {"dtype": "F32", "shape": [rows, count // rows], "data_offsets": [at, at + 4 * count]}
        at += 4 * count
    assert sum(count for count, _ in shape.sizes.values()) * 4 == at
    head = json.dumps(entries).encode()
    with (path / "model.safetensors").open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(8 + len(head) + at)  # takes no room on the disk
    assert of_safetensors([path / "model.safetensors"]).floats == at // 4
    few = sum(
        quantising.size(*size, "int4" if name in shape.rounded else None, 4) for name, size in shape.sizes.items()
    )
    with pytest.raises(explorer.Refused) as caught:
        explorer.load(path, quantize="int4")
    assert f"takes about {few * 1.05 / 1e12:,.1f} TB in float32 with quantize='int4'" in str(caught.value)
