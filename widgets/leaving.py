"""How a panel leaves the notebook: as a page, a figure, a table."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer import ExplorerError, Refused
from widgets.snapshot import MAX_BYTES, PageLimits, page, provenance_of_panel

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from widgets.panel import Panel
    from widgets.paper import Paper

_PAGES = (".html", ".htm")
_FIGURES = (".svg", ".pdf", ".png")
_WIDTH = 6.7
# A picture for viewers without widgets: twice as fine as a screen of 96 dots an inch, and small in a notebook.
_STILL_WIDTH, _STILL_DPI, _STILL_MOST = 5.0, 192, 150_000
# Of the letters of a figure's last line.
_IDENTITY = 10


class Leaving:
    """What a panel adds to itself so that it can be taken along."""

    _pictures: tuple[str, ...] = ()
    """Names of the pictures that `figure` draws, that of the screen first, the one that says most at a glance last."""
    _page_panels: tuple[Panel, ...] = ()
    """What stands inside a panel while its page is made, beside its `panels`."""

    def save(  # type: ignore[misc]  # whoever leaves is a panel
        self: Panel,
        path: str | os.PathLike[str],
        *,
        width: float = _WIDTH,
        what: str | None = None,
        caption: bool = True,
        max_bytes: int = MAX_BYTES,
        layers: Iterable[int] | None = None,
        cells: int | None = None,
    ) -> Path:
        """Writes what the panel shows into one file, and returns its path; a file of that name is replaced.

        A page (`.html`) holds everything that it needs: it opens from a disk without a network and without a kernel,
        its panels stay linked, and what needs no model still moves. It says which model and settings made it.
        A figure (`.svg`, `.pdf`, `.png`) is what `figure` draws.

        Args:
            path: where to; its suffix says as what.
            width: of a figure, see `figure`.
            what: of a figure, see `figure`.
            caption: of a figure, see `figure`.
            max_bytes: how large a page may become.
            layers: whose heads a page's attention carries; None for all.
            cells: how many cells a page's map of a head has at most each way; None for one per pair of tokens.

        Raises:
            Refused: the suffix is none of these, the folder is not there, or the page would be too large.
            ExplorerError: the panel's last request was refused, so there is nothing new to save.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in (*_PAGES, *_FIGURES):
            allowed = ", ".join((*_PAGES, *_FIGURES))
            raise Refused(f"path={str(path)!r} ends in {target.suffix!r}; panels are saved as {allowed}.")
        if not target.parent.is_dir():
            raise Refused(f"path={str(path)!r}: there is no folder {str(target.parent)!r}; make it first.")
        if suffix in _FIGURES:
            drawn = io.BytesIO()
            self.figure(width, what=what, caption=caption).savefig(drawn, format=suffix[1:])
            _replace(target, drawn.getvalue())
            return target
        self.wait()
        limits = PageLimits(max_bytes, None if layers is None else tuple(layers), cells)
        _replace(target, page(self, limits).encode("utf-8"))
        return target

    def figure(self: Panel, width: float = _WIDTH, *, what: str | None = None, caption: bool = True) -> Figure:  # type: ignore[misc]
        """What the panel shows as a matplotlib figure: vector shapes, for print, outside of `pyplot`.

        Args:
            width: in inches, such as 3.3 for a column or 6.7 for a page; letters keep their size.
            what: which picture, where a panel has several; without it what is on the screen. Of an `AttentionPanel`
                that is what its mode shows, by name "text", "measures" (of all heads), "lines", "neuron", "depth",
                "difference" or "pictures"; in every mode there are "head" (the map of the chosen heads) and "heads"
                (all of them, small).
            caption: whether a last line says which model and versions made it.

        Raises:
            Refused: the panel has no such picture, or no page has that width.
            ExplorerError: the panel's last request was refused.
        """
        from widgets.paper import checked_width

        width = checked_width(width)
        if not self._pictures:
            raise Refused(f"A {type(self).__name__} has no figure of its own; take one of its panels: bench.panels[0].")
        chosen = self._pictures[0] if what is None else what
        if chosen not in self._pictures:
            allowed = " or ".join(map(repr, self._pictures))
            now = f"what={what!r} is no picture of this {type(self).__name__} as it is now"
            raise Refused(f"{now}; use {allowed}{self._other_pictures()}.")
        self.wait()
        figure, note = self._drawing(chosen, width)
        figure.caption(". ".join(filter(None, (note, _made_by(self) if caption else ""))))
        return figure

    @property
    def frame(self: Panel) -> pd.DataFrame:  # type: ignore[misc]
        """What the panel shows as a table, one row for each number; of an `AttentionPanel` what its mode shows.

        Raises:
            Refused: the panel has no table.
            ExplorerError: its last request was refused.
        """
        self.wait()
        return self._table()

    def _still(self: Panel, number: int) -> dict[str, str]:  # type: ignore[misc]
        """A small picture of what is shown, where it is complete and wanted; nothing here waits or computes a pass."""
        if not (self.still and self._pictures and self.status.get("state") == "live"):
            return {}
        known: tuple[Any, str] | None = getattr(self, "_still_known", None)
        wanted = (number, self.selection, self.settings, getattr(self, "method", ""))
        if known is None or known[0] != wanted:
            try:
                figure = self._drawing(self._pictures[-1], _STILL_WIDTH)[0]
            except ExplorerError:  # such as attribution without a model: the view itself says why
                return {}
            figure.caption("")
            drawn = io.BytesIO()
            figure.savefig(drawn, format="png", dpi=_STILL_DPI)
            known = self._still_known = (wanted, base64.b64encode(drawn.getvalue()).decode("ascii"))
        return {"image/png": known[1]} if len(known[1]) <= _STILL_MOST * 4 // 3 else {}

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        """One of `_pictures`, and what must be said of it."""
        raise NotImplementedError

    def _table(self) -> pd.DataFrame:
        raise Refused(f"A {type(self).__name__} has no table of its own; take one of its panels: bench.panels[0].")

    def _ready_page(self, undo: ExitStack) -> None:
        """Makes what a page shows and the notebook does not, as `_page_panels`; `undo` takes it away again."""

    def _for_page(self, limits: PageLimits) -> tuple[dict[str, Any], str]:
        """What a page needs beside the synced traits, as more state, and in words how exact that is."""
        return {}, ""

    def _other_pictures(self) -> str:
        """Which pictures there would be if something else were shown; continues a sentence."""
        return ""

    def _page_offer(self) -> str:
        """What else can be done about a page that is too large; continues a sentence."""
        return ""


def _made_by(panel: Panel) -> str:
    made = provenance_of_panel(panel)
    versions = dict(made.versions)
    parts = [made.model, made.revision[:_IDENTITY], made.dtype, *made.edits]
    parts += [f"{name} {versions[name]}" for name in ("explorer", "torch", "transformers") if name in versions]
    return " · ".join(filter(None, parts))


def _replace(target: Path, data: bytes) -> None:
    """Writes a file at once: what was there stays until the new one is complete."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)  # as any file that a program writes
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
