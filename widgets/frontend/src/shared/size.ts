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
 * nothing is drawn into a canvas of zero size and nothing has to be drawn anew when the tab comes back.
 */
export function useSize(ref: RefObject<HTMLElement | null>): ReadonlySignal<Size> {
  const size = useMemo(() => makeSignal<Size>({ width: 0, ratio: globalThis.devicePixelRatio || 1 }), []);
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const measure = (): void => {
      const width = Math.floor(element.clientWidth);
      const ratio = globalThis.devicePixelRatio || 1;
      const known = size.peek();
      if (width > 0 && (width !== known.width || ratio !== known.ratio)) size.value = { width, ratio };
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    // Zooming the page changes the ratio, and not always the width.
    globalThis.addEventListener("resize", measure);
    return () => {
      observer.disconnect();
      globalThis.removeEventListener("resize", measure);
    };
  }, []);
  return size;
}
