"""Shared fixtures: the sample models, loaded once, and tiny random models built from configs."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

# Before transformers is imported: no test may reach a hub.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `pytest -n 2`: the browser's tests one after another, then the other files in all processes."""
    from tests.turns import InTurns

    return InTurns(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's tests first, as `InTurns` wants them."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/browser/"))


@pytest.fixture(scope="session")
def sample() -> Any:
    """SmolLM2-135M-Instruct, real weights; tests leave it as it is."""
    import explorer

    return explorer.load()


@pytest.fixture(scope="session")
def encoder() -> Any:
    """all-MiniLM-L6-v2, real weights."""
    import explorer

    return explorer.load("minilm")


def snapshot(hf: torch.nn.Module) -> dict[str, Any]:
    """Everything about a model that a call must leave as it was."""
    return {
        "hooks": {
            name: [
                list(getattr(m, kind).items())
                for kind in (
                    "_forward_hooks",
                    "_forward_pre_hooks",
                    "_forward_hooks_with_kwargs",
                    "_forward_pre_hooks_with_kwargs",
                    "_backward_hooks",
                    "_backward_pre_hooks",
                )
            ]
            for name, m in hf.named_modules()
        },
        "training": {name: m.training for name, m in hf.named_modules()},
        "attention": {name: m.config._attn_implementation for name, m in hf.named_modules() if hasattr(m, "config")},
        "own_forward": [name for name, m in hf.named_modules() if "forward" in m.__dict__],
        "requires_grad": {name: p.requires_grad for name, p in hf.named_parameters()},
        "grads": {name: p.grad is None for name, p in hf.named_parameters()},
        "versions": {name: p._version for name, p in hf.named_parameters()},
        "grad_mode": torch.is_grad_enabled(),
        "buffers": {name: (id(b), b._version) for name, b in hf.named_buffers()},
        "random": torch.get_rng_state().tolist(),
        "other_random": (random.getstate(), np.random.get_state()[1].tolist()),  # type: ignore[union-attr]
        "config": hf.config.to_dict(),
        "generation_config": repr(getattr(hf, "generation_config", None)),
    }


def weights(hf: torch.nn.Module) -> dict[str, str]:
    """A hash of each weight and buffer, bit for bit."""
    return {
        name: hashlib.sha256(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
        for name, tensor in hf.state_dict().items()
    }


@pytest.fixture
def unchanged() -> Iterator[Callable[[Any], None]]:
    """Registers a model whose whole state must be the same when the test ends."""
    kept: list[tuple[Any, dict[str, Any]]] = []

    def register(model: Any) -> None:
        kept.append((model.hf, snapshot(model.hf)))

    yield register
    assert kept, "the test registered no model"
    for hf, before in kept:
        assert snapshot(hf) == before


_SMALL: dict[str, Any] = {
    "vocab_size": 97,
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
}

# One family for each rule of attention that the engine knows: plain, grouped queries, softcap, sinks, sliding
# window, scaled logits, biased encoder.
TINY_CAUSAL: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 5},
    "qwen3": {},
    "gemma2": {
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
        "sliding_window": 5,
        "query_pre_attn_scalar": 8,
    },
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5},
    "granite": {
        "logits_scaling": 3.0,
        "attention_multiplier": 0.3,
        "residual_multiplier": 0.7,
        "embedding_multiplier": 2.0,
    },
    "cohere": {"logit_scale": 0.4},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 16},
}


def tiny(family: str, **changes: Any) -> Any:
    """A tiny random causal model of a family, with weights large enough that every term shows."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    settings = {**_SMALL, **TINY_CAUSAL.get(family, {}), **changes}
    config = AutoConfig.for_model(family, **settings)
    config.initializer_range = 0.2
    model = AutoModelForCausalLM.from_config(config).eval()
    for name, parameter in model.named_parameters():
        if "sinks" in name or "bias" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return model
