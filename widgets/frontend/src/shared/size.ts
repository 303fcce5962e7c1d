/** Sizes that drawings depend on. */

import { type ReadonlySignal, signal as makeSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect, useMemo } from "preact/hooks";

export interface Size {
  /** In CSS pixels; 0 until the element was first shown. */
  width: number;
  /** Device pixels a CSS pixel. */
  ratio: number;
}

/**
 * The width of the element behind `ref`, as a signal. A hidden element has no width: the last real one stays, so that
 * nothing is drawn into a canvas of zero size and nothing has to be drawn anew when the tab comes back. The element may
 * appear later than the component, and be replaced.
 */
export function useSize(ref: RefObject<HTMLElement | null>): ReadonlySignal<Size> {
  const watcher = useMemo(() => new SizeWatcher(), []);
  useLayoutEffect(() => watcher.watch(ref.current));
  useLayoutEffect(() => () => watcher.watch(null), [watcher]);
  return watcher.size;
}

class SizeWatcher {
  readonly size = makeSignal<Size>({ width: 0, ratio: globalThis.devicePixelRatio || 1 });
  #element: HTMLElement | null = null;
  #observer: ResizeObserver | null = null;
  /** Ends what listens to the page; replaced with the element. */
  #listening = new AbortController();

  readonly #measure = (): void => {
    const width = Math.floor(this.#element?.clientWidth ?? 0);
    const ratio = globalThis.devicePixelRatio || 1;
    const known = this.size.peek();
    if (width > 0 && (width !== known.width || ratio !== known.ratio)) this.size.value = { width, ratio };
  };

  /** Measures `element` from now on, and none when it is `null`. */
  watch(element: HTMLElement | null): void {
    if (element === this.#element) return;
    this.#element = element;
    this.#observer?.disconnect();
    this.#observer = null;
    this.#listening.abort();
    if (element === null) return;
    this.#listening = new AbortController();
    this.#observer = new ResizeObserver(this.#measure);
    this.#observer.observe(element);
    globalThis.addEventListener("resize", this.#measure, { signal: this.#listening.signal });
    this.#watchRatio();
    this.#measure();
  }

  /** Zooming the page, or moving it to another screen, changes the ratio and not always a size. */
  #watchRatio(): void {
    const { signal } = this.#listening;
    const changed = (): void => {
      this.#measure();
      this.#watchRatio();
    };
    matchMedia(`(resolution: ${globalThis.devicePixelRatio || 1}dppx)`).addEventListener("change", changed, {
      once: true,
      signal,
    });
  }
}
