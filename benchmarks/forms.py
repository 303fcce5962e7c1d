"""What weights in few bits save, cost and change, and how long it takes to switch an adapter."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import in_turns, paired, spread
from benchmarks.memory import storage_bytes
from benchmarks.prompts import prompts
from benchmarks.table import Table, say, size

_KINDS = (None, "int8", "int4")
_TOKENS = 128


def tables(quick: bool) -> Iterator[Table]:
    """The forms of the sample, then the switch."""
    yield _forms(prompts()[::10] if quick else prompts(), 3 if quick else 9)
    yield _switch(20 if quick else 200)


def _forms(texts: list[str], rounds: int) -> Table:
    import explorer

    say(f"the sample in float32, int8 and int4: {len(texts)} prompts, {rounds} rounds")
    models = {kind or "float32": explorer.load(quantize=kind) for kind in _KINDS}
    wanted = _answers(models["float32"], texts)
    long = {name: _passes(model, _TOKENS, rounds, models["float32"]) for name, model in models.items()}
    single = {name: _passes(model, 1, rounds, models["float32"]) for name, model in models.items()}
    found = Table(
        "Weights in few bits",
        "The sample on the CPU. Memory: all weights, embeddings (kept whole) among them. Time: model.trace of\n"
        f"{_TOKENS} tokens and of one, as ratios to float32 in the same rounds. Agreement: of the likeliest next\n"
        f"token after {len(texts)} fixed prompts (benchmarks/prompts.py), with float32's; and the mean probability\n"
        "that float32's has.",
        ("weights", "memory", f"{_TOKENS} tokens / float32", "1 token / float32", "top-1 agreement", "its probability"),
    )
    for name, model in models.items():
        given = _answers(model, texts)
        same = sum(one[0] == other[0] for one, other in zip(given, wanted, strict=True))
        kept = statistics.mean(float(one[1][other[0]]) for one, other in zip(given, wanted, strict=True))
        found.add(
            name,
            size(_bytes(model.hf)),
            spread([1.0]).words() if name == "float32" else long[name],
            spread([1.0]).words() if name == "float32" else single[name],
            f"{same} of {len(texts)} ({same / len(texts):.1%})",
            f"{kept:.3f}",
        )
    return found


def _bytes(hf: Any) -> int:
    """Of all weights and buffers; a packed weight is what it holds inside."""
    held = [value for module in hf.modules() for value in (*module._parameters.values(), *module._buffers.values())]
    inside = [vars(value) if "qdata" in vars(value) else [value, vars(value)] for value in held if value is not None]
    return storage_bytes(inside)


def _answers(model: Any, texts: list[str]) -> list[tuple[int, Any]]:
    rows = [model.next_token(text).logits.softmax(-1) for text in texts]
    return [(int(row.argmax()), row) for row in rows]


def _passes(model: Any, tokens: int, rounds: int, plain: Any) -> str:
    import torch

    def ids(number: int) -> Any:
        return torch.randint(100, 40000, (1, tokens), generator=torch.Generator().manual_seed(number + 1))

    taken = in_turns({"plain": plain.trace, "form": model.trace}, ids, rounds)
    return paired(taken["form"], taken["plain"]).words()


def _switch(rounds: int) -> Table:
    import copy
    import time

    import peft
    import torch

    import explorer
    from explorer import adapters

    say(f"an adapter on all linear layers of the sample, {rounds} switches")
    model = explorer.load()
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            torch.manual_seed(0)
            wrapped = peft.get_peft_model(copy.deepcopy(model.hf), peft.LoraConfig(r=8, target_modules=targets))
            wrapped.save_pretrained(str(Path(folder) / name))
            del wrapped
            model.add_adapter(Path(folder) / name)
    taken: dict[str, list[float]] = {"there": [], "there and back": []}
    for number in range(rounds):
        started = time.perf_counter()
        with adapters.using(model.hf, ("first", "second", None)[number % 3]):
            taken["there"].append(1e3 * (time.perf_counter() - started))
        taken["there and back"].append(1e3 * (time.perf_counter() - started))
    found = Table(
        "Adapter switch",
        "Two LoRA adapters of rank 8 on all 210 linear layers of the sample; what each pass pays for naming one.",
        ("what", "milliseconds", "switches"),
    )
    for name, values in taken.items():
        found.add(name, spread(values).words(), rounds)
    return found
