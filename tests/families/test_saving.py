"""A trace of any family, opened without its model, reads bit for bit as it did beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import explorer
from tests.families.cases import Case
from tests.families.configs import FAMILIES, UNLISTED
from tests.families.pictured import PICTURED, pictured

every_family = pytest.mark.parametrize("case", [*FAMILIES, *UNLISTED], indirect=True)


@every_family
def test_every_site_of_the_opened_trace_equals_the_live_one(case: Case, tmp_path: Path) -> None:
    trace = case.plain
    include = ["head_out", "patterns", *(["logits"] if case.model.anatomy.vocabulary is not None else [])]
    trace.save(tmp_path / "a.safetensors", include=include)
    opened = explorer.open_trace(tmp_path / "a.safetensors")
    assert opened.sites() == trace.sites()
    for site in trace.sites():
        one, other = opened[site], trace[site]
        assert one.dtype == other.dtype
        assert torch.equal(one, other), site
    if case.model.anatomy.vocabulary is not None:
        assert torch.equal(opened.last_logits, trace.last_logits)
    assert opened.batch == trace.batch
    assert opened.decoder == trace.decoder
    assert len(opened) == len(trace)
    assert opened._model.anatomy == case.model.anatomy


@every_family
def test_what_was_left_out_is_no_site_and_says_how_to_have_it(case: Case, tmp_path: Path) -> None:
    trace = case.trace()
    trace.save(tmp_path / "a.safetensors")
    opened = explorer.open_trace(tmp_path / "a.safetensors")
    missing = [site for site in trace.sites() if site not in opened.sites()]
    assert {site.rpartition(".")[2] for site in missing} <= {"head_out", "pattern", "logits"}
    for site in missing:
        with pytest.raises(explorer.Refused, match="include="):
            opened[site]
    for site in opened.sites():
        assert torch.equal(opened[site], trace[site]), site


@every_family
def test_with_its_model_it_computes_what_was_left_out(case: Case, tmp_path: Path) -> None:
    trace = case.plain
    trace.save(tmp_path / "a.safetensors")
    opened = explorer.open_trace(tmp_path / "a.safetensors", model=case.model)
    for site in [site for site in trace.sites() if site.endswith((".head_out", "logits"))]:
        assert torch.equal(opened[site], trace[site]), site


@pytest.mark.parametrize("name", list(PICTURED))
def test_images_inside_a_text_are_saved_with_it(name: str, tmp_path: Path) -> None:
    found = pictured(name)
    trace = found.model.trace(found.ids, images=found.images, record=["*"])
    opened = explorer.open_trace(trace.save(tmp_path / "a.safetensors", include=["logits", "head_out"]))
    assert opened.sites() == trace.sites()
    for site in trace.sites():
        assert torch.equal(opened[site], trace[site]), site
