// The settings between a slider, the bars and Python. A moved slider reaches the bars at the next frame and Python
// at most every SAVE_EVERY ms, the last value always; settings that Python writes move the sliders.

import { effect, signal, type ReadonlySignal } from "@preact/signals";
import type { Settings } from "./sampling-math";
import { readSettings, sameSettings } from "./sampling-settings";

export const SAVE_EVERY = 150;

export class LiveSettings {
  /** What the bars show. */
  readonly shown: ReadonlySignal<Settings>;
  readonly #shown;
  readonly #save: (settings: Settings) => void;
  #wanted: Settings;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param trait the `settings` trait
   * @param save writes the trait
   * @param abort ends frames, timers and the subscription
   */
  constructor(trait: ReadonlySignal<unknown>, save: (settings: Settings) => void, abort: AbortSignal) {
    this.#wanted = readSettings(trait.peek());
    this.#shown = signal(this.#wanted);
    this.shown = this.#shown;
    this.#save = save;
    const stop = effect(() => {
      const arrived = readSettings(trait.value);
      // While a save is due, what arrives is older than the hand on the slider.
      if (this.#timer !== undefined || sameSettings(arrived, this.#wanted)) return;
      this.#wanted = arrived;
      this.#shown.value = arrived;
    });
    abort.addEventListener(
      "abort",
      () => {
        stop();
        cancelAnimationFrame(this.#frame);
        clearTimeout(this.#timer);
        this.#timer = undefined;
      },
      { once: true },
    );
  }

  /** What the user's hand has set, a frame ahead of what is shown. */
  get wanted(): Settings {
    return this.#wanted;
  }

  change(patch: Partial<Settings>): void {
    const wanted = { ...this.#wanted, ...patch };
    if (sameSettings(wanted, this.#wanted)) return;
    this.#wanted = wanted;
    if (this.#frame === 0) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.#shown.value = this.#wanted;
      });
    }
    this.#timer ??= setTimeout(() => this.flush(), SAVE_EVERY);
  }

  /** Saves now what is still waiting to be saved. */
  flush(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#save(this.#wanted);
  }
}
