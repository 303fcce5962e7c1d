/** What the panel asks of Python beyond its traits. Of each kind the newest question counts; older answers are dropped. */

import { type Decoded, type PanelModel, decode } from "./shared";

type Asking = Pick<PanelModel<never>, "saved" | "send" | "onMessage">;

export interface Answer {
  arrays: Record<string, Decoded>;
  facts: Record<string, unknown>;
}

interface Waiting {
  number: number;
  take: (answer: Answer) => void;
  fail: (sentence: string) => void;
}

export class Questions {
  #number = 0;
  readonly #model: Asking;
  readonly #waiting = new Map<string, Waiting>();

  constructor(model: Asking) {
    this.#model = model;
    model.onMessage((message, buffers) => this.#receive(message, buffers));
  }

  /** Asks; `take` gets the answer unless something newer of this kind is asked first. */
  ask(ask: string, content: object, take: Waiting["take"], fail: Waiting["fail"] = () => undefined): void {
    if (this.#model.saved) return; // a page has nobody to ask
    const number = ++this.#number;
    this.#waiting.set(ask, { number, take, fail });
    this.#model.send({ type: ask, number, ...content });
  }

  #receive(message: unknown, buffers: readonly DataView[]): void {
    const facts = (message ?? {}) as Record<string, unknown>;
    const waiting = this.#waiting.get(String(facts["answer"]));
    if (waiting === undefined || waiting.number !== facts["number"]) return;
    this.#waiting.delete(String(facts["answer"]));
    if (typeof facts["error"] === "string") {
      waiting.fail(facts["error"]);
      return;
    }
    const shapes = (facts["arrays"] ?? {}) as Record<string, object>;
    const arrays: Record<string, Decoded> = {};
    Object.entries(shapes).forEach(([name, shape], index) => {
      arrays[name] = decode({ ...shape, data: buffers[index] }, name);
    });
    waiting.take({ arrays, facts });
  }
}

/** Arrays by name, of which those looked at longest ago go when there are too many bytes. */
export class Kept {
  #bytes = 0;
  readonly #arrays = new Map<string, Float32Array>();

  constructor(readonly most: number) {}

  get(key: string): Float32Array | undefined {
    const found = this.#arrays.get(key);
    if (found !== undefined) {
      this.#arrays.delete(key);
      this.#arrays.set(key, found);
    }
    return found;
  }

  set(key: string, values: Float32Array): void {
    this.#bytes += values.byteLength - (this.#arrays.get(key)?.byteLength ?? 0);
    this.#arrays.delete(key);
    this.#arrays.set(key, values);
    for (const [oldest, array] of this.#arrays) {
      if (this.#bytes <= this.most || oldest === key) break;
      this.#bytes -= array.byteLength;
      this.#arrays.delete(oldest);
    }
  }

  get bytes(): number {
    return this.#bytes;
  }
}
