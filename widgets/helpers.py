"""What the process of a kernel is told once, so that panels answer evenly.

Helper threads go when a cell is done and when the worker has nothing to do, so that neither slows the other.
torch's matrix products run on OpenMP. GNU's OpenMP gives every Python thread that computes a team of helpers and keeps
them. Where all teams together have more threads than the machine has cores it no longer lets them wait actively, and
each of the hundreds of products of a pass then wakes sleeping threads: one token after 1,024 took 66 instead of 40 ms
on two cores. A team is made again within a tenth of a millisecond when it is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch

from widgets.lifetimes import shell

# New objects before Python looks for cycles among them. A letter that is typed makes some eight thousand, most of which
# live until the next one. At Python's own 700 they count as old by then, and every thirteenth letter all objects there
# are were looked at, which took 200 ms.
_YOUNG = 10_000
_SOFT = 1  # omp_pause_soft: what OpenMP was told stays set


@cache
def _openmp() -> ctypes.CDLL | None:
    """torch's own copy of GNU's OpenMP, which is loaded; None where it uses another."""
    for path in sorted(Path(torch.__file__).parent.glob("lib/libgomp*.so*")):
        with contextlib.suppress(OSError):  # it is not loaded
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_NOLOAD)
            if hasattr(library, "omp_pause_resource_all"):  # OpenMP 5
                return library
    return None


def let_go(*_about: Any) -> None:
    """Ends the helpers of this thread; it must not be called from inside of a parallel computation."""
    library = _openmp()
    if library is not None:
        library.omp_pause_resource_all(_SOFT)


def collect_seldom() -> None:
    """Has Python look for cycles less often, unless whoever owns the process has it look less often still, or never."""
    young, *older = gc.get_threshold()
    if 0 < young < _YOUNG:
        gc.set_threshold(_YOUNG, *older)


@cache
def after_cells() -> None:
    """Has every cell of this kernel let its helpers go, from now on; nothing where there is no IPython."""
    ipython = shell()
    if ipython is not None:
        ipython.events.register("post_run_cell", let_go)
