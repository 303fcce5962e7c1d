"""`python -m explorer`: what it prints and what it returns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from explorer import cache
from explorer.command_line import main
from explorer.doctor import report, shown


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    target = tmp_path / "cache" / "gguf" / "a-model"
    with cache.lock(target), cache.building(target, {"model": "A model"}) as place:
        (place / "weights").write_bytes(bytes(2_000_000))
    return target


def test_the_cache_is_listed_and_cleared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list"]) == 0
    said = capsys.readouterr().out
    assert "2.0 MB" in said
    assert "a-model  (A model)" in said
    assert f"1 in {here.parent.parent}" in said
    assert main(["cache", "clear", "another"]) == 1
    assert "no entry another; it holds a-model" in capsys.readouterr().err
    assert main(["cache", "clear", "a-model"]) == 0
    assert "removed a-model (2.0 MB)" in capsys.readouterr().out
    assert not here.exists()
    assert main(["cache", "clear"]) == 0
    assert "The cache is empty." in capsys.readouterr().out


def test_what_another_process_makes_is_left_and_the_status_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with cache.lock(here):
        assert main(["cache", "clear"]) == 1
    assert "a-model was left" in capsys.readouterr().err
    assert here.exists()


@pytest.mark.parametrize("arguments", [[], ["cache"], ["nonsense"], ["cache", "burn"]])
def test_commands_that_do_not_exist_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_the_list_needs_neither_torch_nor_transformers(here: Path) -> None:
    code = (
        "import sys\nfrom explorer.command_line import main\nmain(['cache', 'list'])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_the_report_has_what_a_bug_report_needs_and_no_secrets(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    import transformers

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", "https://somebody:password@mirror.example/hub")
    monkeypatch.setenv("USER", "grace")
    monkeypatch.setenv("HF_HOME", "/data/grace/hub")
    main(["doctor"])
    said = capsys.readouterr().out
    assert torch.__version__.split("+")[0] in said
    assert transformers.__version__ in said
    assert "mirror.example" in said
    for secret in ("hf_secret", "password", "somebody", "grace"):
        assert secret not in said
    rows = dict(report())
    assert rows["cache writable"].startswith("yes")
    assert rows["cache holds"].startswith("1 models, 2.0 MB of 50.0 GB")


def test_what_is_wrong_is_marked_and_the_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "file" / "cache"))
    assert main(["doctor"]) == 1
    assert "cache writable!" in capsys.readouterr().out
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path))
    monkeypatch.setenv("EXPLORER_CACHE_LIMIT", "a lot")
    assert dict(report())["cache limit!"].startswith("EXPLORER_CACHE_LIMIT='a lot' is not a size")


def test_paths_are_shown_without_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    home = str(Path.home())
    assert shown(Path(home) / "a" / "b") == os.path.join("~", "a", "b")  # noqa: PTH118 - "~" is no folder
    assert shown(home) == "~"
    monkeypatch.setenv("USER", "grace")
    assert "grace" not in shown("/data/grace/models")
