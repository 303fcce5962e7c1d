/** What a view reads of the panel that it stands in: its traits, in the browser, so also where there is no kernel. */

import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { signalOf } from "./model";
import { useModel, useScope } from "./scope";
import type { CommonState } from "./wire";

/** The trait `key` of the panel around; `otherwise` until it is known, and where there is none. */
export function useAround<V>(key: string, otherwise: V): V {
  const { host } = useScope();
  const model = useModel<CommonState>();
  const found = useSignal<ReadonlySignal<V> | null>(null);
  const reference = model.trait("around").value;
  useEffect(() => {
    if (!reference || typeof host?.getModel !== "function") return;
    const ends = new AbortController();
    const end = (): void => ends.abort();
    model.abort.addEventListener("abort", end, { once: true });
    host.getModel(reference).then(
      (outer) => {
        if (!ends.signal.aborted) found.value = signalOf<Record<string, V>, string>(outer, key, ends.signal) as ReadonlySignal<V>;
      },
      () => undefined, // a page that cannot give it shows the view with what is usual
    );
    return () => {
      end();
      model.abort.removeEventListener("abort", end);
    };
  }, [reference, key, host, model]);
  return found.value?.value ?? otherwise;
}
