// A generation as the panel shows it: asked for, streaming, ended. Steps come as messages while it runs; the trait
// `generated` has all of them at the end, so that a finished run survives a reload and a saved page.

import { batch, computed, effect, signal, type ReadonlySignal } from "@preact/signals";
import type { Label } from "./sampling-picture";
import type { Settings } from "./sampling-math";
import type { SamplingWords } from "./sampling-settings";
import { inWords, keyOf, type noteWords, type Said, type Status, type WireToken, type Words } from "./shared";

export interface Alternative extends Label {
  id: number;
  probability: number;
}

/** One generated token, and what else it could have been. */
export interface Step extends WireToken {
  probability: number;
  alternatives: Alternative[];
}

/** The trait `generated`. */
export interface Generated {
  run: number;
  state: "none" | "running" | "done" | "stopped" | "error";
  /** Why it ended. */
  ended: Said;
  steps: Step[];
  settings: Partial<Settings>;
}

export interface Shown extends Omit<Generated, "state"> {
  /** "asked": the kernel has not answered yet; "stopping": told to stop, not yet stopped. */
  state: Generated["state"] | "asked" | "stopping";
}

const NONE: Generated = { run: 0, state: "none", ended: "", steps: [], settings: {} };

function isStep(raw: unknown): raw is Step {
  const step = raw as Partial<Step> | null | undefined;
  return typeof step?.text === "string" && typeof step.probability === "number";
}

function readStep(step: Step): Step {
  const alternatives = Array.isArray(step.alternatives) ? step.alternatives : [];
  return { ...step, alternatives: alternatives.filter((a) => typeof a?.text === "string" && typeof a.probability === "number") };
}

/** The trait as it arrived; steps that cannot be shown are left out. */
export function readGenerated(raw: unknown): Generated {
  const given = (typeof raw === "object" && raw !== null ? raw : {}) as Partial<Generated>;
  const steps = Array.isArray(given.steps) ? given.steps.filter(isStep).map(readStep) : [];
  return { ...NONE, ...given, steps };
}

/** What the stream needs of the panel's model. */
export interface StreamModel {
  send(message: object): void;
  onMessage(handler: (message: unknown) => void): void;
  readonly abort: AbortSignal;
}

export interface StreamTraits {
  generated: ReadonlySignal<unknown>;
  status: ReadonlySignal<Partial<Status>>;
  text: ReadonlySignal<string>;
}

export class Stream {
  readonly shown: ReadonlySignal<Shown>;
  /** Whether the text is still the one that was continued. */
  readonly continues: ReadonlySignal<boolean>;
  readonly #continued;
  readonly #model: StreamModel;
  readonly #text: ReadonlySignal<string>;
  readonly #live = signal<{ run: number; steps: Step[] }>({ run: -1, steps: [] });
  readonly #waiting = signal<"asked" | "stopping" | null>(null);

  /**
   * @param traits `generated`, `status` and `text`
   */
  constructor(model: StreamModel, traits: StreamTraits) {
    const { generated, status, text } = traits;
    this.#model = model;
    this.#text = text;
    this.#continued = signal(text.peek());
    this.continues = computed(() => this.#continued.value === text.value);
    const known = computed(() => readGenerated(generated.value));
    this.shown = computed(() => {
      const { run, state, ended, steps, settings } = known.value;
      const live = this.#live.value;
      const ahead = live.run > run || (live.run === run && live.steps.length > steps.length);
      return {
        run: Math.max(run, live.run),
        steps: this.#waiting.value === "asked" ? [] : ahead ? live.steps.filter(isStep) : steps,
        state: this.#waiting.value ?? (live.run > run ? "running" : state),
        ended,
        settings,
      };
    });
    const stops = [
      // The kernel's answer, whatever it is, ends the waiting for it.
      effect(() => {
        const { state } = known.value;
        if (state !== "running" || this.#waiting.peek() === "asked") this.#waiting.value = null;
      }),
      effect(() => {
        if (status.value?.state === "error") this.#waiting.value = null;
      }),
    ];
    model.abort.addEventListener("abort", () => stops.forEach((stop) => stop()), { once: true });
    model.onMessage((message) => this.#receive(message));
  }

  ask(maxNewTokens: number, settings: Settings): void {
    this.#continued.value = this.#text.peek();
    this.#waiting.value = "asked";
    this.#model.send({ type: "generate", max_new_tokens: maxNewTokens, settings });
  }

  stop(): void {
    this.#waiting.value = "stopping";
    this.#model.send({ type: "stop" });
  }

  #receive(message: unknown): void {
    const { type, run, index, step } = (message ?? {}) as Record<string, unknown>;
    if (type !== "step" || !Number.isInteger(run) || !Number.isInteger(index) || !isStep(step)) return;
    const live = this.#live.peek();
    if ((run as number) < live.run) return;
    const steps = live.run === run ? [...live.steps] : [];
    steps[index as number] = readStep(step);
    batch(() => {
      if (this.#waiting.peek() === "asked") this.#waiting.value = null;
      this.#live.value = { run: run as number, steps };
    });
  }
}

/** Whether there is something to stop. */
export function isBusy({ state }: Shown): boolean {
  return state === "asked" || state === "running" || state === "stopping";
}

/** What is true of a run, in words: "12 tokens so far", "stopped after 12 tokens", "end of sequence after 12 tokens". */
export function describeRun(
  { state, ended, steps }: Shown,
  words: SamplingWords,
  tokens: (count: number) => string,
  notes: Words<typeof noteWords>,
): string {
  const count = steps.length;
  if (state === "none") return "";
  if (state === "asked") return words.asked;
  if (state === "stopping") return words.stopping(count);
  if (state === "running") return words.soFar(count);
  if (state === "stopped") return words.stopped(count);
  if (state === "error") return words.failed(count);
  return !ended || keyOf(ended) === "as_many_as_asked" ? tokens(count) : words.ended(inWords(ended, notes), count);
}
