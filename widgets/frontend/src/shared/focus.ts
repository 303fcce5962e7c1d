/** The keyboard's place in a panel, kept where a new picture takes away what had it. */

import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

const STOP = ["button:not(:disabled)", "input:not(:disabled)", "select", "textarea", "summary", "[tabindex='0']"].join();

/** What the keyboard goes to when `lost` has gone: the stop of the nearest part around it that is still there. */
function heir(around: readonly Element[], root: HTMLElement): HTMLElement {
  for (const part of around) {
    if (!root.contains(part)) continue;
    const stops = part.matches(STOP) ? [part] : [...part.querySelectorAll(STOP)];
    const stop = stops.find((one) => (one as HTMLElement).tabIndex >= 0);
    if (stop !== undefined) return stop as HTMLElement;
  }
  return root;
}

/**
 * Keeps the focus inside `root`. An element that is removed takes the focus with it, and the next keys would go to the
 * notebook: "d d" would delete the cell.
 */
export function useKeptFocus(root: RefObject<HTMLElement | null>): void {
  useLayoutEffect(() => {
    const element = root.current;
    if (element === null) return;
    let around: Element[] = [];
    const came = (event: FocusEvent): void => {
      around = [];
      for (let part = event.target as Element | null; part !== null && part !== element; part = part.parentElement)
        around.push(part);
    };
    const left = (event: FocusEvent): void => {
      // Some browsers say so while the element is being removed: only afterwards can be told who went by himself.
      queueMicrotask(() => {
        if ((event.target as Element).isConnected && event.target === around[0]) around = [];
      });
    };
    const observer = new MutationObserver(() => {
      const [had] = around;
      if (had === undefined || had.isConnected) return;
      const now = (element.getRootNode() as Document | ShadowRoot).activeElement;
      const found = heir(around, element);
      around = [];
      if (now === null || now === document.body) found.focus({ preventScroll: true });
    });
    element.addEventListener("focusin", came);
    element.addEventListener("focusout", left);
    observer.observe(element, { childList: true, subtree: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("focusin", came);
      element.removeEventListener("focusout", left);
    };
  }, [root]);
}
