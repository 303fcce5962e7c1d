/** The last picture that could be read, kept while a newer one is broken or being computed. */

import { type ReadonlySignal, computed } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { faultOf } from "./fault";
import { useModel } from "./scope";
import type { CommonState, Fault, View } from "./wire";
import { sharedWords, wordsOf } from "./words";

export interface Picture<P> {
  /** What `read` made of the newest readable view; `null` before the first. */
  picture: P | null;
  /** Why the newest view could not be read; `null` where it could. */
  fault: Fault | null;
}

/** Throws unless `view` has what every view has. `read` functions may rely on it. */
export function checkView(view: Partial<View>): View {
  if (!Array.isArray(view.tokens)) throw new Error("view.tokens is no list.");
  for (const token of view.tokens) {
    if (typeof token?.text !== "string") throw new Error("view.tokens holds something that has no text.");
  }
  return {
    request: view.request ?? 0,
    tokens: view.tokens,
    decoder_tokens: view.decoder_tokens ?? null,
    notes: Array.isArray(view.notes) ? view.notes : [],
  };
}

/** The newest readable picture in `view`, as a signal. `sentence` says of one that it cannot be read. */
export function pictureOf<V extends View, P>(
  view: ReadonlySignal<Partial<V>>,
  read: (view: V) => P,
  sentence: () => string,
): ReadonlySignal<Picture<P>> {
  let last: P | null = null;
  return computed(() => {
    const arrived: unknown = view.value;
    if (arrived === null || typeof arrived !== "object") {
      return { picture: last, fault: faultOf(new Error("view is no dictionary."), sentence()) };
    }
    if (Object.keys(arrived).length === 0) return { picture: last, fault: null };
    try {
      checkView(arrived as Partial<View>);
      last = read(arrived as V);
      return { picture: last, fault: null };
    } catch (error) {
      return { picture: last, fault: faultOf(error, sentence()) };
    }
  });
}

/**
 * {@link pictureOf} for the panel's own `view`. `read` decodes the arrays of a view and throws where something is wrong;
 * it must be a function of the module, not one made in the component.
 *
 * @example const { picture, fault } = usePicture(readView).value;
 */
export function usePicture<V extends View, P>(read: (view: V) => P): ReadonlySignal<Picture<P>> {
  const model = useModel<CommonState>();
  return useMemo(
    () =>
      pictureOf<V, P>(
        model.trait("view") as ReadonlySignal<Partial<V>>,
        read,
        () => wordsOf(model, sharedWords).notRead,
      ),
    [model, read],
  );
}
