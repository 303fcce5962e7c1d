/** From the panel's traits to what is shown, decoded once for every arrival. */

import { useComputed, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { carriedMatrix } from "./attention-carried";
import { finer } from "./attention-finer";
import { Questions } from "./attention-questions";
import { type Region, whole } from "./attention-region";
import {
  type AttentionView,
  type Combine,
  type HeadMap,
  type Matrix,
  type Picture,
  type Rows,
  type Selection,
  type State,
  chosenHeads,
  exactMap,
  isOf,
  readRows,
  readView,
  thumbnailMap,
} from "./attention-state";
import { type Asked, Tiles } from "./attention-tiles";
import { type Fault, attentionWords, faultOf, useModel, usePicture, wordsOf } from "./shared";

export interface Attention {
  /** All heads; `null` before the first picture. */
  picture: Picture | null;
  /** All of the chosen heads' map, and the part that is looked at. */
  all: HeadMap | null;
  map: HeadMap | null;
  /** What is said of every row; `null` until the chosen heads' weights arrive. */
  rows: Rows | null;
  fault: Fault | null;
  /** As Python or the reader set it; it may say more, or something else, than can be shown. */
  selection: Partial<Selection>;
  /** In a saved page: how far a weight of the map may be off; `null` where it is the model's own. */
  error: number | null;
  /** The part that is looked at. */
  region: Region;
  look: (region: Region) => void;
}

interface Shown {
  all: HeadMap | null;
  rows: Rows | null;
  fault: Fault | null;
  error: number | null;
}

interface Looked {
  region: Region;
  queries: number;
  keys: number;
}

const NOWHERE = whole(0, 0);

/** What the attention panel shows now. */
export function useAttention(): Attention {
  const model = useModel<State>();
  const found = usePicture<AttentionView, Picture>(readView);
  const selection = model.trait("selection");
  const matrix = model.trait("matrix");
  const carried = model.trait("carried");
  const tiles = useMemo(() => new Tiles(new Questions(model)), [model]);
  const looked = useSignal<Looked | null>(null);
  // Apart from the chosen cell, so that choosing one does not decode the map again.
  const wanted = useComputed(() => {
    const { picture } = found.value;
    return picture === null ? "" : JSON.stringify(chosenHeads(selection.value ?? {}, picture));
  });
  const shown = useComputed<Shown>(() => {
    const { picture } = found.value;
    if (picture === null) return { all: null, rows: null, fault: null, error: null };
    const { layer, heads } = JSON.parse(wanted.value) as { layer: number; heads: number[] };
    const combine: Combine = model.trait("combine").value ?? "mean";
    const hideSink = model.trait("hide_sink").value === true;
    const waiting = (): HeadMap => thumbnailMap(picture, layer, heads, combine);
    const wish = { layer, heads, combine, hideSink };
    try {
      const own: Partial<Matrix> | null = matrix.value;
      const kept = isOf(own, picture, wish) ? null : carriedMatrix(carried.value, { ...picture, ...wish });
      const there = kept ?? own;
      if (!isOf(there, picture, wish)) return { all: waiting(), rows: null, fault: null, error: null };
      const rows = readRows(there);
      const error = kept === null ? null : (carried.value?.error ?? null);
      return { all: exactMap(there, rows, picture), rows, fault: null, error };
    } catch (error) {
      const fault = faultOf(error, wordsOf(model, attentionWords).headNotRead);
      return { all: waiting(), rows: null, fault, error: null };
    }
  });
  const region = useComputed<Region>(() => {
    const { picture } = found.value;
    if (picture === null) return NOWHERE;
    const now = looked.value;
    const { queries, keys } = picture;
    return now !== null && now.queries === queries && now.keys === keys ? now.region : whole(queries, keys);
  });
  const asked = useComputed<Asked | null>(() => {
    const { picture } = found.value;
    if (picture === null) return null;
    const { layer, heads } = JSON.parse(wanted.value) as { layer: number; heads: number[] };
    const combine = model.trait("combine").value ?? "mean";
    return { picture: picture.request, layer, heads, combine, hide_sink: model.trait("hide_sink").value === true };
  });
  const map = useComputed<HeadMap | null>(() => {
    const { all, rows } = shown.value;
    const { picture } = found.value;
    if (all === null || picture === null || rows === null || asked.value === null) return all;
    return finer(all, rows.seen, picture, region.value, asked.value, tiles);
  });
  const look = (next: Region): void => {
    const { picture } = found.peek();
    if (picture !== null) looked.value = { region: next, queries: picture.queries, keys: picture.keys };
  };
  const { picture, fault } = found.value;
  return {
    picture,
    all: shown.value.all,
    map: map.value,
    rows: shown.value.rows,
    fault: fault ?? shown.value.fault,
    error: shown.value.error,
    selection: selection.value ?? {},
    region: region.value,
    look,
  };
}
