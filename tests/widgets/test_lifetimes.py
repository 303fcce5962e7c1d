"""Cells that are run again, in a real kernel: what they showed before is let go, what is held stays."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

_ROOT = Path(__file__).resolve().parents[2]
_LONG = 60
_SETUP = """
import gc, json, weakref
import explorer
from comm import get_comm_manager
from ipywidgets.widgets import widget as registry
from tests.conftest import tiny
from tests.tiny_tokenizers import byte_level
from widgets import AttentionPanel, Exploration, SamplingPanel, Workbench
from widgets.panel import Panel
tokenizer = byte_level()
model = explorer.attach(tiny("llama", vocab_size=len(tokenizer)), tokenizer)
def state():
    gc.collect()
    alive = sorted(type(thing).__name__ for thing in gc.get_objects() if issubclass(type(thing), (Panel, Exploration)))
    return [alive, len(registry._instances), len(get_comm_manager().comms)]
"""


class Kernel:
    """A kernel, and cells as a notebook runs them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._scratch = 0

    def cell(self, name: str, code: str) -> str:
        """Runs a cell, by its name, and gives what it printed."""
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
            "stop_on_error": True,
        }  # fmt: skip
        request = self._client.session.msg("execute_request", content, metadata={"cellId": name})
        self._client.shell_channel.send(request)
        printed = ""
        while True:
            message = self._client.get_iopub_msg(timeout=_LONG)
            if message["parent_header"].get("msg_id") != request["msg_id"]:
                continue
            kind, said = message["msg_type"], message["content"]
            assert kind != "error", "\n".join(said["traceback"])
            if kind == "stream" and said["name"] == "stdout":
                printed += said["text"]
            if kind == "status" and said["execution_state"] == "idle":
                return printed

    def becomes(self, expression: str, expected: Any) -> None:
        """Waits until an expression has a value: work that runs for a widget keeps it until it is done."""
        end = time.monotonic() + _LONG
        while (value := self.value(expression)) != expected:
            assert time.monotonic() < end, (value, expected)

    def value(self, expression: str) -> Any:
        """What an expression is, asked in a cell of its own."""
        self._scratch += 1
        return json.loads(self.cell(f"scratch {self._scratch}", f"print(json.dumps({expression}))"))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(_ROOT))
    try:
        made = Kernel(client)
        made.cell("setup", _SETUP)
        yield made
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize(
    "code",
    [
        "Workbench(model, 'one two')",
        "panel = SamplingPanel(model, 'one two')\npanel.wait(60)\npanel",
        "shared = Exploration(model, 'one two')\ndisplay(SamplingPanel(shared), AttentionPanel(shared))",
        "made = Exploration(model, 'one two')",
    ],
)
def test_a_cell_that_is_run_again_leaves_what_one_run_leaves(kernel: Kernel, code: str) -> None:
    before = kernel.value("state()")
    kernel.cell("again", code)
    once = kernel.value("state()")
    assert once[1] > before[1]
    for _ in range(3):
        kernel.cell("again", code)
    kernel.becomes("state()", once)
    kernel.cell("again", "panel = shared = made = None")
    kernel.becomes("state()", before)


def test_what_is_held_or_shown_elsewhere_stays_and_works(kernel: Kernel) -> None:
    before = kernel.value("state()[0]")
    kernel.cell("holds", "kept = [AttentionPanel(model, 'one')]\nkept[0]")
    kernel.cell("holds", "None")
    assert kernel.value("kept[0].comm is not None and kept[0].model_id in registry._instances")
    kernel.cell("works", "kept[0].text = 'one two'\nkept[0].wait(60)")
    assert kernel.value("len(kept[0].view['tokens'])") == kernel.value("len(model.read('one two'))")
    kernel.cell("shows", "SamplingPanel(model, 'two')")
    kernel.cell("output", "there = weakref.ref(_)\nshown = there().exploration\ndel _")
    kernel.cell("shows", "None")
    assert kernel.value("there().comm is not None"), "whoever holds the exploration holds its panel"
    kernel.cell("elsewhere", "there()")
    kernel.cell("release", "del shown")
    kernel.cell("shows", "None")
    assert kernel.value("there().comm is not None"), "it stands in another cell"
    kernel.cell("elsewhere", "None")
    kernel.becomes("there() is None", True)
    kernel.cell("holds", "kept = None")
    kernel.cell("holds", "kept = None")
    kernel.becomes("state()[0]", before)


def test_the_rest_of_a_workbench_stays_with_whoever_holds_one_of_its_panels(kernel: Kernel) -> None:
    kernel.cell("bench", "bench = Workbench(model, 'one')\none = bench.panels[0]\nbench")
    kernel.cell("bench", "bench = None")
    assert kernel.value("one.comm is not None and one.keeper.comm is not None")
    kernel.cell("bench", "one = None")
    kernel.cell("bench", "one = None")
    kernel.becomes("'Workbench' in state()[0]", False)
