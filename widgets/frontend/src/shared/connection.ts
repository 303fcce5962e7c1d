/** Whether there still is a kernel behind a view. */

import { type ReadonlySignal, signal as makeSignal } from "@preact/signals";
import type { HostModel } from "./model";

// What ipywidgets' views are marked with when their connection has ended: the kernel was restarted, or is gone.
const DISCONNECTED = ".jupyter-widgets-disconnected";

/** False once the host says that a view's kernel is gone. A host that never says so counts as connected. */
export function watchConnection(
  el: HTMLElement,
  host: HostModel,
  abort: AbortSignal,
): ReadonlySignal<boolean> {
  const connected = makeSignal(el.closest(DISCONNECTED) === null);
  let due: ReturnType<typeof setTimeout> | undefined;
  const update = (): void => {
    clearTimeout(due);
    // The view is marked by another listener of the same event.
    due = setTimeout(() => (connected.value = el.closest(DISCONNECTED) === null), 0);
  };
  host.on("comm_live_update", update);
  abort.addEventListener(
    "abort",
    () => {
      clearTimeout(due);
      host.off("comm_live_update", update);
    },
    { once: true },
  );
  return connected;
}
