"""Why a head gives one pair of tokens its weight: query times key, neuron by neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer import Refused
from widgets import wire
from widgets.attention_view import AttentionView
from widgets.connection import asset
from widgets.worker import Job

if TYPE_CHECKING:
    import pandas as pd

    from widgets.paper import Paper


class NeuronView(AttentionView):
    """The query and the key of a pair, their product in each dimension of the head, and what it adds up to.

    After Vig, "A Multiscale Visualization of Attention in the Transformer Model" (2019), the neuron view. Query and key
    are as the attention sees them, after rotary positions; of several chosen heads the first is shown.
    """

    _esm = asset("attention-neuron.js")
    _css = asset("attention-neuron.css")
    _chosen_by = (*AttentionView._chosen_by, "query", "key")
    _pictures = ("neuron",)

    def _draw(self, _job: Job, number: int) -> None:
        trace, chosen = self.read(), self.selection
        stack, layer, heads, where = self._heads(trace)
        site = f"{stack.prefix}layers.{layer}.{chosen.kind}"
        missing = sorted({f"{site}.{part}" for part in ("q", "k")} - set(trace.sites()))
        if missing:
            raise Refused(f"Query and key cannot be shown: the trace has no {' and no '.join(missing)}.")
        # Without a question the last token's is asked, of what it attends to most.
        query = where.queries - 1 if chosen.query is None else min(chosen.query, where.queries - 1)
        row = where.weights([heads[0]], [query])[0, 0].float()
        key = int(row.argmax()) if chosen.key is None else min(chosen.key, where.keys - 1)
        # Keys of grouped queries are shared: head 5 of 9 reads key-value head 1 of 3.
        q, k = trace[f"{site}.q"][0, query, heads[0]].float().cpu(), trace[f"{site}.k"][0, key]
        k = k[heads[0] * len(k) // where.heads].float().cpu()
        asking, asked = self._sides(trace, stack)
        self._publish(
            view={
                "request": number,
                "tokens": asking,
                "notes": [],
                "layer": layer,
                "head": heads[0],
                "query": query,
                "key": key,
                "query_token": asking[query],
                "key_token": asked[key],
                "q": wire.array(q),
                "k": wire.array(k),
                "product": wire.array(q * k),
                "weight": float(row[key]),
                "seen": bool(where.seen()[query, 0] <= key < where.seen()[query, 1]),
            }
        )

    def _drawing(self, what: str, width: float) -> tuple[Paper, str]:
        from widgets.attention_print import quoted
        from widgets.drawings_views import product_bars
        from widgets.paper import number

        view = self.view
        query, key, product = (wire.numbers(view[part]) for part in ("q", "k", "product"))
        pair = f"{quoted(view['query_token']['text'])} attends to {quoted(view['key_token']['text'])}"
        weight = f"weight {number(view['weight'], 4)}" if view["seen"] else "hidden by the model: weight 0"
        title = f"Layer {view['layer']}, head {view['head']}: {pair}, {weight}"
        note = f"The products sum to {number(float(product.sum()), 4)}. Each row has colours of its own range"
        return product_bars(width, query, key, product, title), note

    def _table(self) -> pd.DataFrame:
        """One row for each dimension of the head."""
        import pandas as pd

        view = self.view
        query, key, product = (wire.numbers(view[part]) for part in ("q", "k", "product"))
        places = {"layer": view["layer"], "head": view["head"], "dimension": range(len(query))}
        return pd.DataFrame({**places, "query": query, "key": key, "product": product})
