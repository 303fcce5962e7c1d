"""What a pass is to record and change, and what it left behind; `explorer.recording` carries a plan out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from explorer.anatomy import Place
from explorer.attention import AttentionCall

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Plan:
    """What to record in a pass, and what to change.

    Attributes:
        attention: "recorded" routes attention through the recording function; only for models known to call it,
            since for others the setting could change what they compute. "eager" makes families that choose a
            kernel of their own take the one that gives weights. "usual" changes nothing.
        attentions: (module path, turn) -> prefix of that attention's sites, such as "layers.3.attn".
        kept: sites of attention calls that are kept, by prefix; None for all.
        places: site -> where it is seen, for what is kept.
        replays: prefix -> attention whose inputs are kept, so that its weights can be computed later.
        outputs: paths of modules whose whole output is kept.
        pieces: paths of attentions that may attend several times in one call, for one image or window after the other.
        stops: paths of modules before which cancelled work stops, and whose calls are counted.
        narrow: what is kept of an activation, from its site and value; None for all of it.
        narrow_call: what is kept of an attention call, from its prefix and itself; None for all of it.
        changes: site -> where it is seen and how it is changed there, in order.
        heads: site of an attention call -> how it is changed.
        order: sites in the order of a pass: of those that are seen at one place, an earlier one is recorded before
            a later one is changed.
        rows: paths of layers, whose input tells how many texts a pass has.
    """

    attention: Literal["recorded", "eager", "usual"] = "usual"
    attentions: Mapping[tuple[str, int], str] = field(default_factory=dict)
    kept: frozenset[str] | None = None
    places: Mapping[str, Place] = field(default_factory=dict)
    replays: Mapping[str, Place] = field(default_factory=dict)
    outputs: Iterable[str] = ()
    pieces: Iterable[str] = ()
    stops: Iterable[str] = ()
    narrow: Callable[[str, Tensor], Tensor] | None = None
    narrow_call: Callable[[str, AttentionCall], AttentionCall] | None = None
    changes: Mapping[str, tuple[Place, Change]] = field(default_factory=dict)
    heads: Mapping[str, Change] = field(default_factory=dict)
    order: Iterable[str] = ()
    rows: Iterable[str] = ()


@dataclass
class Recording:
    """What one pass left behind.

    Attributes:
        hidden: activations by site, as the modules passed them on (no copies), before their place's factor.
        attention: attention calls by prefix; by module path where the plan names no prefix.
        replays: what attentions received, by prefix: positional and keyword arguments.
        outputs: what modules returned, whole, by path.
        runs: how often each layer was called, by path.
    """

    hidden: MutableMapping[str, Tensor] = field(default_factory=dict)
    attention: MutableMapping[str, list[AttentionCall]] = field(default_factory=dict)
    replays: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=dict)
    outputs: MutableMapping[str, Any] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
