"""Short passes on one thread: only small models on the CPU, and the number is put back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

import explorer
from explorer import threads
from explorer.threads import one_thread
from tests.conftest import tiny


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_small_model_uses_one_thread_and_the_number_is_put_back() -> None:
    with one_thread(tiny("llama")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), one_thread(tiny("llama")):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


def test_large_models_and_other_devices_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_thread(tiny("llama").to("meta")):
        assert torch.get_num_threads() == 3
    monkeypatch.setattr(threads, "_SMALL", 1000)
    with one_thread(tiny("llama")):
        assert torch.get_num_threads() == 3


def test_work_in_another_thread_keeps_its_own() -> None:
    seen: list[int] = []
    ready, go = threading.Event(), threading.Event()

    def work() -> None:
        seen.append(torch.get_num_threads())
        ready.set()
        assert go.wait(30)
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=work)
    other.start()
    assert ready.wait(30)
    with one_thread(tiny("llama")):
        go.set()
        other.join(30)
    assert seen == [3, 3]


def test_a_model_is_examined_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    hf, seen = tiny("llama"), []
    hook = hf.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    explorer.attach(hf)
    hook.remove()
    assert len(seen) >= 3  # two to examine it, one through the engine; the check's own plain pass ends early
    assert set(seen) == {1}
    assert torch.get_num_threads() == 3
