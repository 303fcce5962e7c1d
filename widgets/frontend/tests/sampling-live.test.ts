import { signal } from "@preact/signals";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LiveSettings, SAVE_EVERY } from "../src/sampling-live";
import { NEUTRAL } from "../src/sampling-math";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test("a long drag is saved at most every so often, the last value always", () => {
  const save = vi.fn();
  const live = new LiveSettings(signal(NEUTRAL), save, new AbortController().signal);
  for (let step = 1; step <= 40; step++) {
    live.change({ temperature: step / 100 });
    vi.advanceTimersByTime(10);
  }
  vi.advanceTimersByTime(SAVE_EVERY);
  expect(save.mock.calls.length).toBeLessThanOrEqual(Math.ceil(400 / SAVE_EVERY));
  expect(save).toHaveBeenLastCalledWith({ ...NEUTRAL, temperature: 0.4 });
});

test("flush saves once and leaves nothing to save", () => {
  const save = vi.fn();
  const live = new LiveSettings(signal(NEUTRAL), save, new AbortController().signal);
  live.change({ top_k: 5 });
  live.flush();
  live.flush();
  vi.advanceTimersByTime(10 * SAVE_EVERY);
  expect(save).toHaveBeenCalledTimes(1);
});

test("nothing is shown or saved after the view has gone", () => {
  const save = vi.fn();
  const trait = signal<unknown>(NEUTRAL);
  const view = new AbortController();
  const live = new LiveSettings(trait, save, view.signal);
  live.change({ temperature: 0.2 });
  view.abort();
  vi.advanceTimersByTime(10 * SAVE_EVERY);
  trait.value = { ...NEUTRAL, temperature: 0.7 };
  expect(save).not.toHaveBeenCalled();
  expect(live.shown.value).toEqual(NEUTRAL);
});
