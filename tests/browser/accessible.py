"""What axe-core has against a part of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Locator

_AXE = Path(__file__).resolve().parents[2] / "widgets/frontend/node_modules/axe-core/axe.min.js"

# JupyterLab's body has no height and cuts off what is outside of it: axe then takes all of the page as hidden, and
# finds nothing. So the body gets the height it looks as if it had.
_RUN = """
async root => {
    document.body.style.height = "100vh";
    const { violations, passes } = await axe.run(root);
    document.body.style.height = "";
    const nodes = rules => rules.flatMap(rule => rule.nodes.map(node => ({
        rule: rule.id,
        impact: rule.impact,
        html: node.html.slice(0, 200),
        why: [...node.any, ...node.all, ...node.none].map(check => check.message).join(" "),
    })));
    return { found: nodes(violations), legible: nodes(passes).filter(({ rule }) => rule === "color-contrast").length };
}
"""


class Judged(NamedTuple):
    """A verdict.

    Attributes:
        serious: what is serious or critical, a line each.
        legible: the number of texts whose contrast was measured and found enough.
    """

    serious: list[str]
    legible: int


def judged(root: Locator) -> Judged:
    """Runs all of axe-core's usual rules on an element and what it holds."""
    page = root.page
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_AXE.read_text("utf-8"))
    root.scroll_into_view_if_needed()
    verdict: dict[str, Any] = root.evaluate(_RUN)
    serious = [
        f"{one['impact']} {one['rule']}: {one['html']} {one['why']}"
        for one in verdict["found"]
        if one["impact"] in ("serious", "critical")
    ]
    return Judged(serious, verdict["legible"])
