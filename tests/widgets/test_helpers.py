"""What computes in turn does not keep the other's helper threads waiting, nor does looking for cycles keep a reader."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from widgets.helpers import collect_seldom

# In a process of its own: whether this one has helpers depends on the tests before. Prints how many more threads than
# in the beginning there are after each step, and how many torch is to use.
_SCRIPT = """
import os, threading, torch
from IPython.core.interactiveshell import InteractiveShell
from widgets.worker import Worker
torch.set_num_threads(3)
shell = InteractiveShell.instance()
worker = Worker("test")
product = "a = torch.randn(800, 800); b = float((a @ a).sum())"
shell.run_cell("import torch, threading\\ntorch.set_num_threads(3)")
def threads():
    return len(os.listdir("/proc/self/task"))
before = threads()
exec(product)
after_product = threads() - before
shell.run_cell(product)
after_cell = threads() - before
seen = []
def work(job):
    torch.set_num_threads(3)
    exec(product)
    seen.append(threads() - before)
worker.submit(worker, "product", work, on_error=print)
worker.wait(worker)
for _ in range(1000):
    if threads() == before:
        break
    threading.Event().wait(0.01)
print(after_product, after_cell, *seen, threads() - before, torch.get_num_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="2026-11: GNU's OpenMP is what torch has on Linux only")
def test_helpers_go_with_the_end_of_a_cell_and_of_the_worker_s_work() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    told = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["2", "0", "2", "0", "3"]


@pytest.mark.parametrize(("before", "after"), [(700, 10_000), (50_000, 50_000), (0, 0)], ids=["usual", "higher", "off"])
def test_cycles_are_looked_for_less_often_and_never_more_often(before: int, after: int) -> None:
    own = gc.get_threshold()
    try:
        gc.set_threshold(before, 11, 12)
        collect_seldom()
        assert gc.get_threshold() == (after, 11, 12)
    finally:
        gc.set_threshold(*own)
