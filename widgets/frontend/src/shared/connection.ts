/** Whether there still is a kernel behind a view, and whether a cell runs in it. */

import { type ReadonlySignal, signal as makeSignal } from "@preact/signals";
import type { HostModel } from "./model";

type Heard = (sender: unknown, status: unknown) => void;

/** What a saved page says of itself. */
export interface SavedPage {
  /** The model's name. */
  model: string;
  /** The day on which it was saved, as in 2026-01-31. */
  date: string;
}

/** What Jupyter's own widget manager tells; other hosts have nothing of the kind. */
interface Kernel {
  status?: unknown;
  statusChanged?: { connect(slot: Heard): void; disconnect(slot: Heard): void };
}

export interface Connection {
  /** False once the host says that the view's kernel is gone. A host that never says so counts as connected. */
  connected: ReadonlySignal<boolean>;
  /** Whether the host says that a cell runs. */
  busy: ReadonlySignal<boolean>;
}

// A view's connection does not outlive the process it was opened from, also where another one takes its place.
const ENDED = new Set<unknown>(["restarting", "autorestarting", "terminating", "dead"]);

/** What the host tells of the kernel of a view, until the view ends. A saved page has none from the start. */
export function watchConnection(host: HostModel, abort: AbortSignal): Connection {
  const connected = makeSignal(host.saved === undefined);
  const { status, statusChanged } = (host.widget_manager as { kernel?: Kernel } | undefined)?.kernel ?? {};
  const busy = makeSignal(status === "busy");
  if (statusChanged === undefined) return { connected, busy };
  const hear: Heard = (_sender, now) => {
    busy.value = now === "busy";
    if (ENDED.has(now)) connected.value = false;
  };
  statusChanged.connect(hear);
  abort.addEventListener("abort", () => statusChanged.disconnect(hear), { once: true });
  return { connected, busy };
}
