/** A model as a host hands it to a panel, without a host. */

import type { CommonState, HostModel, WireArray, WireToken } from "../src/shared";

type Callback = (...values: never[]) => void;

export class FakeModel implements HostModel {
  readonly saves: Record<string, unknown>[] = [];
  readonly sent: unknown[] = [];
  readonly #listeners = new Map<string, Set<Callback>>();
  #unsaved: Record<string, unknown> = {};

  constructor(readonly state: Record<string, unknown>) {}

  get(key: string): unknown {
    return this.state[key];
  }

  set(key: string, value: unknown): void {
    this.#unsaved[key] = value;
    this.arrive(key, value);
  }

  save_changes(): void {
    this.saves.push(this.#unsaved);
    this.#unsaved = {};
  }

  on(event: string, callback: Callback): void {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(callback));
  }

  off(event: string, callback: Callback): void {
    this.#listeners.get(event)?.delete(callback);
  }

  send(content: unknown): void {
    this.sent.push(content);
  }

  /** Python sets a trait. */
  arrive(key: string, value: unknown): void {
    this.state[key] = value;
    for (const callback of this.#listeners.get(`change:${key}`) ?? []) (callback as () => void)();
  }

  /** Python sends a message. */
  message(content: unknown, buffers: DataView[] = []): void {
    for (const callback of this.#listeners.get("msg:custom") ?? [])
      (callback as (value: unknown, buffers: DataView[]) => void)(content, buffers);
  }

  get listening(): number {
    return [...this.#listeners.values()].reduce((sum, callbacks) => sum + callbacks.size, 0);
  }
}

export function token(text: string, more: Partial<WireToken> = {}): WireToken {
  return { id: 7, text, kind: "text", group: 0, part: 1, parts: 1, ...more };
}

/** Tokens of one piece each. */
export function tokensOf(...texts: string[]): WireToken[] {
  return texts.map((text, group) => token(text, { id: 100 + group, group }));
}

/** An array as Python sends it, in the middle of a larger buffer as hosts deliver them. */
export function wired(
  values: Uint8Array | Float32Array | Int32Array | Uint16Array,
  shape: number[],
  shift = 3,
): WireArray {
  const names = {
    Uint8Array: "uint8",
    Float32Array: "float32",
    Int32Array: "int32",
    Uint16Array: "float16",
  } as const;
  const bytes = new Uint8Array(values.byteLength + shift + 5);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), shift);
  const dtype = names[values.constructor.name as keyof typeof names];
  return { data: new DataView(bytes.buffer, shift, values.byteLength), dtype, shape };
}

export function common(changes: Partial<CommonState> = {}): CommonState {
  const status = {
    state: "live",
    request: 1,
    ms: 61,
    note: "",
    progress: null,
    progress_note: "",
    error: null,
  } as const;
  const about = { name: "sample", dtype: "float32", device: "cpu", context: 8192 };
  const shared = {
    special_tokens: true,
    literal: false,
    messages: null,
    decoder: null,
    edits: [],
    target: null,
    against: null,
    position: null,
    neuron: null,
    hover: null,
    language: "",
    can_undo: false,
    can_redo: false,
    pinned: null,
    written: null,
  } as const;
  return { title: "", text: "a b", embedded: false, about, status, view: {}, ...shared, edits: [], ...changes };
}

/** Lets signals and effects that wait for a frame run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((done) => setTimeout(done, 0));
}
