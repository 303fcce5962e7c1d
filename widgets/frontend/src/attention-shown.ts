/** From the panel's traits to what is shown, decoded once for every arrival. */

import { useComputed } from "@preact/signals";
import { carriedMatrix } from "./attention-carried";
import {
  type AttentionView,
  type HeadMap,
  type Picture,
  type Selection,
  type State,
  chosenHead,
  firstTokenShare,
  headMap,
  readView,
} from "./attention-state";
import { type Fault, faultOf, useModel, usePicture } from "./shared";

export interface Attention {
  /** All heads; `null` before the first picture. */
  picture: Picture | null;
  /** The chosen head. */
  map: HeadMap | null;
  fault: Fault | null;
  /** See {@link firstTokenShare}. */
  share: number | null;
  /** As Python or the reader set it; it may say more, or something else, than can be shown. */
  selection: Partial<Selection>;
  /** In a saved page: how far a weight of the map may be off; `null` where it is the model's own. */
  error: number | null;
}

interface Shown {
  map: HeadMap | null;
  fault: Fault | null;
  share: number | null;
  error: number | null;
}

/** What the attention panel shows now. */
export function useAttention(): Attention {
  const model = useModel<State>();
  const found = usePicture<AttentionView, Picture>(readView);
  const selection = model.trait("selection");
  const matrix = model.trait("matrix");
  const carried = model.trait("carried");
  // Apart from the chosen cell, so that choosing one does not decode the map again.
  const layer = useComputed(() => chosen(found.value.picture, selection.value)?.layer ?? 0);
  const head = useComputed(() => chosen(found.value.picture, selection.value)?.head ?? 0);
  const shown = useComputed<Shown>(() => {
    const { picture } = found.value;
    if (picture === null) return { map: null, fault: null, share: null, error: null };
    try {
      const own = headMap(picture, layer.value, head.value, matrix.value);
      const other = own.exact ? null : carriedMatrix(carried.value, picture.request, layer.value, head.value);
      const map = other === null ? own : headMap(picture, layer.value, head.value, other);
      return { map, fault: null, share: firstTokenShare(map), error: other && (carried.value?.error ?? null) };
    } catch (error) {
      const map = headMap(picture, layer.value, head.value, null);
      return { map, fault: faultOf(error, "The chosen head cannot be read."), share: firstTokenShare(map), error: null };
    }
  });
  const { picture, fault } = found.value;
  const { map, share, error } = shown.value;
  return { picture, map, share, error, fault: fault ?? shown.value.fault, selection: selection.value ?? {} };
}

function chosen(
  picture: Picture | null,
  selection: Partial<Selection> | null,
): { layer: number; head: number } | null {
  return picture === null ? null : chosenHead(selection ?? {}, picture);
}
