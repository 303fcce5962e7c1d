"""Tiny models of the families that read images inside their text, and one input for each."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from transformers import AutoConfig

import explorer
from explorer.anatomy import Stack
from tests.conftest import snapshot
from tests.families.configs import VOCABULARY

IMAGE = 90
# Ids that are no places of images.
WORDS = [5, 17, 3, 88, 41]
_TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
    "initializer_range": 0.2,
}
_ROTARY = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}}
_GRID = {"depth": 2, "patch_size": 4, "num_heads": 4, "spatial_merge_size": 2, "in_channels": 3, "hidden_size": 32}
_IDS = {"video_token_id": 91, "vision_start_token_id": 92, "vision_end_token_id": 93}


def _with(vision: dict[str, Any], text: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"text_config": {**_TEXT, **(text or {})}, "vision_config": {**_VISION, **vision}, **more}


_CLIP = {"model_type": "clip_vision_model"}
_SIGLIP = {"model_type": "siglip_vision_model"}
PICTURED: dict[str, dict[str, Any]] = {
    "llava": _with(_CLIP, {"model_type": "llama"}, image_token_index=IMAGE),
    "gemma3": _with(_SIGLIP, mm_tokens_per_image=4, image_token_index=IMAGE, boi_token_index=95, eoi_token_index=96),
    "paligemma": _with(
        {**_SIGLIP, "projection_dim": 32}, {"model_type": "gemma"}, image_token_index=IMAGE, projection_dim=32
    ),
    "idefics3": _with({}, {"model_type": "llama"}, image_token_id=IMAGE, scale_factor=1),
    "smolvlm": _with({}, {"model_type": "llama"}, image_token_id=IMAGE, scale_factor=1),
    "internvl": _with({"image_size": [16, 16], "patch_size": [8, 8]}, {"model_type": "qwen2"}, image_token_id=IMAGE),
    "qwen2_vl": _with({**_GRID, "embed_dim": 32}, _ROTARY, image_token_id=IMAGE, **_IDS),
    "qwen2_5_vl": _with(
        {**_GRID, "out_hidden_size": 32, "window_size": 8, "fullatt_block_indexes": [1]},
        _ROTARY,
        image_token_id=IMAGE,
        **_IDS,
    ),
    "qwen3_vl": _with(
        {**_GRID, "out_hidden_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
        _ROTARY,
        image_token_id=IMAGE,
        **_IDS,
    ),
}


class Pictured:
    """One family: the plain model, the attached one, ids with the places of two images, and the images.

    Attributes:
        name: of the family.
        hf: the plain model that explorer looks into.
        model: the attached one.
        unchanged: whether attaching left the whole state as it was.
        twin: the same weights with eager attention, never touched.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        config = AutoConfig.for_model(name, **PICTURED[name])
        torch.manual_seed(0)
        build = transformers.AutoModelForImageTextToText.from_config
        self.hf: Any = build(config).eval()
        with torch.no_grad():
            for parameter in self.hf.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
        before = snapshot(self.hf)
        self.model: Any = explorer.attach(self.hf)
        self.unchanged = snapshot(self.hf) == before
        torch.manual_seed(0)
        self.twin: Any = build(AutoConfig.for_model(name, **PICTURED[name]), attn_implementation="eager").eval()
        self.twin.load_state_dict(self.hf.state_dict())
        self.grid = "qwen" in name
        self.images = self._images(name)
        with torch.no_grad():
            found = self.hf.get_image_features(**self.images).pooler_output
        listed = [found] if isinstance(found, torch.Tensor) else list(found)
        each = listed if self.grid else torch.cat([rows.reshape(-1, 32) for rows in listed]).chunk(2)
        one, other = (rows.numel() // 32 for rows in each)
        self.ids = [*WORDS[:2], *[IMAGE] * one, WORDS[2], *[IMAGE] * other, *WORDS[3:]]
        if self.grid:
            kinds = [[int(one == IMAGE) for one in self.ids]]
            self.images["mm_token_type_ids"] = torch.tensor(kinds)
        if name == "paligemma":  # without them its eager attention hides what its fast kernel shows
            self.images["token_type_ids"] = torch.zeros((1, len(self.ids)), dtype=torch.long)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return self.model.anatomy.stacks  # type: ignore[no-any-return]

    def _images(self, name: str) -> dict[str, torch.Tensor]:
        noise = torch.Generator().manual_seed(7)
        if self.grid:
            grid = torch.tensor([[1, 4, 4], [1, 4, 6]])
            return {"pixel_values": torch.randn(40, 3 * 2 * 16, generator=noise), "image_grid_thw": grid}
        shape = (1, 2, 3, 16, 16) if name in ("idefics3", "smolvlm") else (2, 3, 16, 16)
        return {"pixel_values": torch.randn(shape, generator=noise)}

    def ask(self, hf: Any, **options: Any) -> Any:
        ids = torch.tensor([self.ids])
        with torch.no_grad():
            return hf(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **self.images, **options)


@cache
def pictured(name: str) -> Pictured:
    return Pictured(name)
