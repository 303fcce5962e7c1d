/**
 * A typed wrapper over the model that the notebook hands to a widget. Drawing code reads traits as signals and never
 * sees events, and everything it subscribes to ends with the view.
 */

import { type ReadonlySignal, signal as makeSignal } from "@preact/signals";
import { type SavedPage, watchConnection } from "./connection";
import { SHARED } from "./exploration";
import { unpacked } from "./records";
import type { Theme } from "./theme";

// Milliseconds after which a pointer that does not move has been put somewhere.
const HOVER_RESTS = 200;

/** What this front end uses of the host's model (the anywidget front-end module contract). */
export interface HostModel {
  get(key: string): unknown;
  set(key: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: (...values: never[]) => void): void;
  off(event: string, callback: (...values: never[]) => void): void;
  send(content: unknown): void;
  /** What made the model, where the host is Jupyter. */
  readonly widget_manager?: unknown;
  /** What was saved, where the host is a page that lives without a kernel. */
  readonly saved?: SavedPage;
}

/**
 * The trait `key` as a signal: its value now, and every later one, until `abort` fires.
 *
 * @example const view = signalOf<State, "view">(model, "view", signal);
 */
export function signalOf<S, K extends keyof S & string>(
  model: HostModel,
  key: K,
  abort: AbortSignal,
): ReadonlySignal<S[K]> {
  const now = (): S[K] => unpacked(model.get(key)) as S[K];
  const value = makeSignal(now());
  const update = (): void => {
    value.value = now();
  };
  const event = `change:${key}`;
  model.on(event, update);
  abort.addEventListener("abort", () => model.off(event, update), { once: true });
  return value;
}

/** Sets several traits and sends them to Python as one message. */
export function write<S>(model: HostModel, changes: Partial<S>): void {
  for (const [key, value] of Object.entries(changes)) model.set(key, value);
  model.save_changes();
}

/**
 * What a panel's component works with. `S` is the interface of its traits, the same names as in Python.
 *
 * Get it with {@link useModel}; it exists once a view and ends with it.
 */
export class PanelModel<S> {
  /** Whether the view's kernel is there, and whether a cell runs in it, as far as the host tells. */
  readonly connected: ReadonlySignal<boolean>;
  readonly busy: ReadonlySignal<boolean>;
  /** What page the view stands in, where it is a saved one. */
  readonly saved: SavedPage | null;
  readonly #host: HostModel;
  readonly #shared: HostModel;
  #settling: ReturnType<typeof setTimeout> | undefined;
  readonly #traits = new Map<string, ReadonlySignal<unknown>>();

  /**
   * @param host the notebook's model
   * @param el the element the panel is drawn in
   * @param abort fires when the view goes; give it to every listener, observer, timer and frame
   * @param theme the page's theme, as {@link watchTheme} follows it
   * @param shared the exploration that this panel shows together with others; where a host cannot give it, the panel
   *   mirrors its traits itself, and links go through the kernel
   */
  constructor(
    host: HostModel,
    readonly el: HTMLElement,
    readonly abort: AbortSignal,
    readonly theme: Theme,
    shared: HostModel | null = null,
  ) {
    this.#host = host;
    this.#shared = shared ?? host;
    ({ connected: this.connected, busy: this.busy } = watchConnection(host, abort));
    this.saved = host.saved ?? null;
    abort.addEventListener("abort", () => clearTimeout(this.#settling), { once: true });
  }

  #home(key: string): HostModel {
    return SHARED.has(key) ? this.#shared : this.#host;
  }

  /** Whether the page around the panel is dark now. */
  get dark(): ReadonlySignal<boolean> {
    return this.theme.dark;
  }

  /** The trait as a signal; the same signal for every caller. */
  trait<K extends keyof S & string>(key: K): ReadonlySignal<S[K]> {
    let known = this.#traits.get(key);
    if (known === undefined) {
      known = signalOf<S, K>(this.#home(key), key, this.abort);
      this.#traits.set(key, known);
    }
    return known as ReadonlySignal<S[K]>;
  }

  /** Sets several traits and sends them to Python as one message. */
  write(changes: Partial<S>): void {
    if (this.abort.aborted) return;
    const homes = new Map<HostModel, Record<string, unknown>>();
    for (const [key, value] of Object.entries(changes)) {
      const home = this.#home(key);
      homes.set(home, { ...homes.get(home), [key]: value });
    }
    for (const [home, values] of homes) write(home, values);
  }

  /** Tells every panel of the page which position is looked at; Python hears of it when the pointer rests. */
  hover(position: number | null): void {
    if (this.abort.aborted || this.#shared.get("hover") === position) return;
    this.#shared.set("hover", position);
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#shared.save_changes(), HOVER_RESTS);
  }

  /** Sends a message to Python's message handler. Only for what must not survive saving; everything else is a trait. */
  send(message: object): void {
    if (!this.abort.aborted) this.#host.send(message);
  }

  /** Calls `handler` with every message from Python until the view ends. */
  onMessage(handler: (message: unknown, buffers: DataView[]) => void): void {
    this.#host.on("msg:custom", handler);
    this.abort.addEventListener("abort", () => this.#host.off("msg:custom", handler), { once: true });
  }
}
