"""Makes what a browser is given for a first attention picture: our panel's state, and BertViz's HTML.

Both start from a text and end with the bytes that a notebook would send, the model's pass included: a trace on
our side, a pass with all attention weights (transformers' eager attention, as BertViz asks for) on theirs. Runs
in a process of its own, since BertViz needs gigabytes for a few hundred tokens.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from benchmarks.inputs import random_text

_WARM_UP_TOKENS = 8
# What a notebook sends once with every widget, whatever it shows.
CODE = ("_esm", "_css")
_PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="panel.css">
<body style="background: #fff; margin: 16px">
<div id="panel" style="width: 900px"></div>
<script type="module">
import panel from "./panel.js";
const [{ state, buffers }, bytes] = await Promise.all([
  fetch("state.json").then((reply) => reply.json()),
  fetch("buffers.bin").then((reply) => reply.arrayBuffer()),
]);
for (const { path, start, length } of buffers) {
  const last = path.pop();
  path.reduce((value, name) => value[name], state)[last] = new DataView(bytes, start, length);
}
const model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; },
  save_changes() {},
  on() {},
  off() {},
  send() {},
};
panel.render({ model, el: document.getElementById("panel"), signal: new AbortController().signal });
</script>
"""


def make(tokens: int, ours: int, theirs: int, folder: str) -> dict[str, Any]:
    """Makes pictures of texts of `tokens` tokens in turns, and leaves the last of each tool in `folder`.

    Args:
        tokens: length of the texts.
        ours: how many of our pictures are timed.
        theirs: how many of BertViz's.
        folder: `panel/` and `bertviz/` are made in it.

    Returns:
        `panel` and `bertviz`, each with `seconds` (a list), `bytes` (without our panel's code) and `code`.
    """
    import explorer

    model = explorer.load()
    makers = [_Panel(model, Path(folder, "panel")), _BertViz(model.tokenizer, Path(folder, "bertviz"))]
    for maker in makers:
        maker.run(random_text(model.tokenizer, _WARM_UP_TOKENS, "warm-up"))
        maker.seconds.clear()
    for number in range(max(ours, theirs)):
        turn = [maker for maker, rounds in zip(makers, (ours, theirs), strict=True) if number < rounds]
        for maker in turn if number % 2 == 0 else reversed(turn):
            maker.run(random_text(model.tokenizer, tokens, (tokens, number)))
    return {maker.folder.name: {"seconds": maker.seconds, "bytes": maker.bytes, "code": maker.code} for maker in makers}


def write_page(panel: Any, folder: Path) -> None:
    """Writes what a notebook is sent of a panel as a page, `index.html`, that shows it without a kernel."""
    from ipywidgets.widgets.widget import _remove_buffers  # type: ignore[import-untyped]

    state, paths, buffers = _remove_buffers(panel.get_state())
    shown = {name: value for name, value in state.items() if name not in CODE}
    places, start = [], 0
    for path, buffer in zip(paths, buffers, strict=True):
        places.append({"path": path, "start": start, "length": memoryview(buffer).nbytes})
        start += memoryview(buffer).nbytes
    (folder / "index.html").write_text(_PAGE, "utf-8")
    (folder / "panel.js").write_text(panel._esm, "utf-8")
    (folder / "panel.css").write_text(panel._css, "utf-8")
    (folder / "state.json").write_text(json.dumps({"state": shown, "buffers": places}), "utf-8")
    (folder / "buffers.bin").write_bytes(b"".join(buffers))


class _Maker(ABC):
    """One tool: makes pictures, remembers how long each took and how large the last one is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: list[float] = []
        self.bytes = 0
        self.code = 0
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, text: str) -> None:
        """Times one picture of `text`, then writes it to the folder."""
        started = time.perf_counter()
        picture = self._picture(text)
        self.seconds.append(time.perf_counter() - started)
        self._write(picture)

    @abstractmethod
    def _picture(self, text: str) -> Any:
        """What is timed: from a text to what a notebook would send."""

    @abstractmethod
    def _write(self, picture: Any) -> None:
        """Writes the picture as a page, `index.html`, and counts its bytes."""


class _Panel(_Maker):
    def __init__(self, model: Any, folder: Path) -> None:
        super().__init__(folder)
        self._model = model

    def _picture(self, text: str) -> tuple[Any, str, list[bytes]]:
        from ipywidgets.widgets.widget import _remove_buffers  # type: ignore[import-untyped]

        from widgets import AttentionPanel

        panel = AttentionPanel(self._model, text)
        panel.wait()
        state, _, buffers = _remove_buffers(panel.get_state())
        return panel, json.dumps(state), buffers

    def _write(self, picture: tuple[Any, str, list[bytes]]) -> None:
        panel, text, buffers = picture
        self.code = sum(len(json.dumps(getattr(panel, name))) for name in CODE)
        self.bytes = len(text) + sum(memoryview(buffer).nbytes for buffer in buffers) - self.code
        write_page(panel, self.folder)
        panel.close()


class _BertViz(_Maker):
    def __init__(self, tokenizer: Any, folder: Path) -> None:
        super().__init__(folder)
        import torch
        from transformers import AutoModelForCausalLM

        from explorer import samples

        self._tokenizer = tokenizer
        # A model of its own: a pass that returns attention weights leaves transformers' hooks on it.
        self._hf = AutoModelForCausalLM.from_pretrained(
            str(samples.folder()), dtype=torch.float32, attn_implementation="eager"
        )

    def _picture(self, text: str) -> str:
        import torch
        from bertviz import head_view  # type: ignore[import-untyped]

        ids = self._tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            attentions = self._hf(input_ids=ids, output_attentions=True, use_cache=False).attentions
        pieces = self._tokenizer.convert_ids_to_tokens(ids[0])
        return str(head_view(attentions, pieces, html_action="return").data)

    def _write(self, picture: str) -> None:
        with (self.folder / "index.html").open("w", encoding="utf-8") as file:
            file.write('<!doctype html>\n<meta charset="utf-8">\n<body>\n')
            self.bytes = file.write(picture)  # json.dumps wrote ASCII: letters are bytes
