"""The peers' attention views that stand beside our panel: what each shows, and how it is asked for another head."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.environments import Peer
from benchmarks.painting import BERTVIZ_PICTURE, PANEL_PICTURE

# In JavaScript below, what is asked for next.
CHOICE = "CHOICE"


@dataclass(frozen=True)
class Tool:
    """One view of a peer.

    Attributes:
        name: as the table names it.
        maker: its name in `attention_peers.TOOLS`.
        peer: its environment; None where it is installed beside Explorer.
        shows: what the first picture has.
        every: whether it is given all layers, or one.
        choices: how many layers or heads can be asked for.
        picture: JavaScript that is true as soon as the first picture is there.
        act: JavaScript that asks for layer or head `CHOICE`, as a click or a choice in a list does.
        done: JavaScript that is true as soon as that is there.
    """

    name: str
    maker: str
    peer: Peer | None
    shows: str
    every: bool
    choices: int
    picture: str
    act: str
    done: str


_CIRCUITSVIS = Peer("circuitsvis", "1.43.3")
_INSPECTUS = Peer("inspectus", "0.2.0", beside=("ipython",))
_ATTNVIEW = Peer("attnview", "0.5.1")
_LAYERS, _HEADS = 30, 9

_CELLS = 'document.querySelectorAll("rect.cell")'
# The last query's weight on the first token differs from head to head.
_INSPECTUS_ACT = f"""
window.cell = {_CELLS}[{_CELLS}.length - Math.sqrt({_CELLS}.length)];
window.was = window.cell.textContent;
[...document.querySelectorAll(".dimension-values")].at(WHICH).querySelectorAll(".value")[{CHOICE}].click()"""
_INSPECTUS_DONE = "window.cell.textContent !== window.was"
_ATTNVIEW_ACT = f"""
const list = document.getElementById("WHICH");
list.value = {CHOICE};
list.dispatchEvent(new Event("change"))"""
_ATTNVIEW_META = 'document.getElementById("meta").textContent'

TOOLS = (
    Tool(
        *("BertViz head_view", "head_view", None, "one layer's lines, all layers at hand", True, _LAYERS),
        picture=BERTVIZ_PICTURE,
        act=f"""
document.querySelector("svg").classList.add("old");
const list = document.querySelector("#layer");
list.value = {CHOICE};
list.dispatchEvent(new Event("change"))""",
        done='document.querySelector("svg:not(.old) line") !== null',
    ),
    Tool(
        *("BertViz model_view", "model_view", None, "all heads' lines", True, _LAYERS),
        picture=BERTVIZ_PICTURE,
        act=f"""
const last = document.querySelector("#attn_background_{CHOICE}_0").parentNode.lastChild;
last.dispatchEvent(new MouseEvent("click"))""",
        done=f"""
[...document.querySelectorAll("text.detail")].some((one) => one.textContent === "Layer {CHOICE}, Head 0")""",
    ),
    Tool(
        *("CircuitsVis", "circuitsvis", _CIRCUITSVIS, "one layer: its heads, one large", False, _HEADS),
        picture=PANEL_PICTURE,
        act=f"""
const small = document.querySelectorAll("canvas")[{CHOICE}];
small.dispatchEvent(new MouseEvent("click", {{ bubbles: true }}))""",
        done=f'[...document.querySelectorAll("h3")].some((one) => one.textContent === "Head {CHOICE} Zoomed")',
    ),
    Tool(
        *("Inspectus", "inspectus", _INSPECTUS, "the mean of all heads", True, _LAYERS),
        picture='document.querySelector("rect.cell") !== null',
        act=_INSPECTUS_ACT.replace("WHICH", "0"),
        done=_INSPECTUS_DONE,
    ),
    Tool(
        *("Inspectus", "inspectus", _INSPECTUS, "one layer: the mean of its heads", False, _HEADS),
        picture='document.querySelector("rect.cell") !== null',
        act=_INSPECTUS_ACT.replace("WHICH", "-1"),
        done=_INSPECTUS_DONE,
    ),
    Tool(
        *("attnview", "attnview", _ATTNVIEW, "one row of one head, all layers at hand", True, _LAYERS),
        picture='document.querySelector("#weights tr") !== null',
        act=_ATTNVIEW_ACT.replace("WHICH", "layer"),
        done=f'{_ATTNVIEW_META}.startsWith("Layer {CHOICE} ")',
    ),
    Tool(
        *("attnview", "attnview", _ATTNVIEW, "one layer: one row of one head", False, _HEADS),
        picture='document.querySelector("#weights tr") !== null',
        act=_ATTNVIEW_ACT.replace("WHICH", "head"),
        done=f'{_ATTNVIEW_META}.includes("Head {CHOICE} / ")',
    ),
)
