/** Whether there still is a kernel behind a view. */

import { type ReadonlySignal, signal as makeSignal } from "@preact/signals";
import type { HostModel } from "./model";

type Heard = (sender: unknown, status: unknown) => void;

/** What Jupyter's own widget manager tells; other hosts have nothing of the kind. */
interface Kernel {
  statusChanged?: { connect(slot: Heard): void; disconnect(slot: Heard): void };
}

// A view's connection does not outlive the process it was opened from, also where another one takes its place.
const ENDED = new Set<unknown>(["restarting", "autorestarting", "terminating", "dead"]);

/** False once the host says that a view's kernel is gone. A host that never says so counts as connected. */
export function watchConnection(host: HostModel, abort: AbortSignal): ReadonlySignal<boolean> {
  const connected = makeSignal(true);
  const { statusChanged } = (host.widget_manager as { kernel?: Kernel } | undefined)?.kernel ?? {};
  if (statusChanged === undefined) return connected;
  const hear: Heard = (_sender, status) => {
    if (ENDED.has(status)) connected.value = false;
  };
  statusChanged.connect(hear);
  abort.addEventListener("abort", () => statusChanged.disconnect(hear), { once: true });
  return connected;
}
