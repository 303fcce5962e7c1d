/** The pinned picture of a panel, beside the one that is shown now. */

import { type ReadonlySignal, computed } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { useModel } from "./scope";
import type { CommonState, View } from "./wire";

/**
 * What was pinned of the panels called `name`, read as their own view is; `null` where nothing was, or where it cannot be
 * read. `read` must be a function of the module.
 *
 * @example const pinned = usePinned("sampling", readSamplingView).value;
 */
export function usePinned<V extends View, P>(name: string, read: (view: V) => P): ReadonlySignal<P | null> {
  const model = useModel<CommonState>();
  return useMemo(() => {
    const pinned = model.trait("pinned");
    return computed(() => {
      const picture = pinned.value?.pictures?.[name];
      if (picture === undefined) return null;
      try {
        return read(picture as V);
      } catch {
        return null; // nobody asked about it now; the live picture says what is wrong with its own
      }
    });
  }, [model, name, read]);
}
