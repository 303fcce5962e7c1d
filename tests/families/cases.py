"""A family's tiny model, attached, its plain eager twin and one input for both; built once a run."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

import explorer
from explorer.anatomy import Heads, Layer, Stack
from tests.conftest import snapshot
from tests.families.configs import FAMILIES, UNLISTED, Family

IDS = [5, 17, 3, 88, 41, 9, 60, 33]
SHORT = [7, 4, 22]
WRITTEN = [2, 11, 40, 6, 75]
TOLERANCE = {"rtol": 2e-4, "atol": 2e-4}


@dataclass(frozen=True)
class Attention:
    """One attention of a model: its address, what it is, and the eager twin's weights."""

    prefix: str
    heads: Heads
    layer: int
    stack: str
    kind: str


class Case:
    """One family.

    Attributes:
        name: of the family or its variant.
        family: how it is built.
        hf: the plain model that explorer looks into.
        model: the attached one.
        before: the whole state before it was attached.
        after: the whole state after.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.family: Family = {**FAMILIES, **UNLISTED}[name]
        self.hf: Any = self.family.build()
        self._plain = copy.deepcopy(self.hf.state_dict())
        self._settings = copy.deepcopy(self.hf.config)
        # RWKV divides its weights by powers of two in its first pass outside training, whoever runs it.
        self.ask_of(self.hf)
        self.before = snapshot(self.hf)
        self.model: Any = explorer.attach(self.hf)
        self.after = snapshot(self.hf)

    @cached_property
    def given(self) -> dict[str, Any]:
        """What a trace is asked for: one text, and pixels where the model reads images."""
        given: dict[str, Any] = {}
        if self.family.text:
            given["inputs"] = IDS
        if self.family.seq2seq:
            given["decoder"] = WRITTEN
        if self.family.images:
            given["images"] = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
        return given

    def trace(self, **options: Any) -> Any:
        return self.model.trace(**self.given, **options)

    @cached_property
    def plain(self) -> Any:
        """A trace of everything there is, without edits."""
        return self.trace(record=["*"])

    @cached_property
    def twin(self) -> Any:
        """The same weights in a model that was built for eager attention and that explorer never touches."""
        import transformers

        head = getattr(transformers, self.family.head)
        config = copy.deepcopy(self._settings)
        twin = head.from_config(config, attn_implementation="eager").eval()
        twin.load_state_dict(self._plain)
        return twin

    def ask(self, ids: list[int] = IDS, written: list[int] = WRITTEN, **options: Any) -> Any:
        """One pass of the twin."""
        return self.ask_of(self.twin, ids, written, **options)

    def ask_of(self, hf: Any, ids: list[int] = IDS, written: list[int] = WRITTEN, **options: Any) -> Any:
        """One pass of a plain model."""
        inputs: dict[str, Tensor] = {}
        if self.family.text:
            inputs["input_ids"] = torch.tensor([ids])
            if self.family.family == "mpt":
                inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if self.family.seq2seq:
            inputs["decoder_input_ids"] = torch.tensor([written])
        if self.family.images:
            inputs["pixel_values"] = self.given["images"]
        with torch.no_grad():
            return hf(**inputs, **options)

    @cached_property
    def reference(self) -> Any:
        """The twin's answer, with hidden states, and with attention weights where it gives any."""
        try:
            return self.ask(output_hidden_states=True, output_attentions=True)
        except TypeError:  # families without attention do not take the second
            return self.ask(output_hidden_states=True)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return self.model.anatomy.stacks  # type: ignore[no-any-return]

    def layers(self) -> list[tuple[str, Layer, Stack]]:
        """The prefix of each layer's sites, the layer, and its stack."""
        return [
            (f"{stack.prefix}layers.{index}.", layer, stack)
            for stack in self.stacks
            for index, layer in enumerate(stack.layers)
        ]

    def attentions(self) -> list[Attention]:
        return [
            Attention(f"{stack.prefix}layers.{index}.{kind}.", heads, index, stack.name, kind)
            for stack in self.stacks
            for index, layer in enumerate(stack.layers)
            for kind in ("attn", "cross_attn")
            if (heads := getattr(layer, kind)) is not None
        ]

    def answer(self, trace: Any) -> Tensor:
        """What a pass comes to: the logits, or what the last layers give."""
        if self.model.anatomy.vocabulary is not None:
            return trace.logits  # type: ignore[no-any-return]
        last = [trace[f"{stack.prefix}layers.{len(stack.layers) - 1}.resid_post"] for stack in self.stacks]
        return torch.cat([value.flatten() for value in last])

    def module(self, path: str) -> nn.Module:
        return self.hf.get_submodule(path)  # type: ignore[no-any-return]


@cache
def case(name: str) -> Case:
    return Case(name)


def equal(one: Tensor, other: Tensor, what: str) -> None:
    """Equality to floating-point tolerance, with a word on what differed."""
    torch.testing.assert_close(one, other, **TOLERANCE, msg=lambda text: f"{what}: {text}")
