/** The one small frame beside the pointer, shared by everything in a panel. */

import { type Signal, signal as makeSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useTooltip } from "./scope";

interface Shown {
  /** The box that is explained, in client coordinates; a pointer is a box without size. */
  box: { left: number; right: number; top: number; bottom: number };
  content: ComponentChildren;
}

/** Says what the tooltip shows and where. Get the panel's own with `useTooltip`. */
export class TooltipControl {
  readonly shown: Signal<Shown | null> = makeSignal<Shown | null>(null);

  /** Shows `content` beside the pointer. Text goes in as JSX, never as markup. */
  show(pointer: { clientX: number; clientY: number }, content: ComponentChildren): void {
    const { clientX: x, clientY: y } = pointer;
    this.shown.value = { box: { left: x, right: x, top: y, bottom: y }, content };
  }

  /** Shows `content` beside an element or a part of one, for keyboard users. */
  showAt(place: Element | Shown["box"], content: ComponentChildren): void {
    this.shown.value = { box: place instanceof Element ? place.getBoundingClientRect() : place, content };
  }

  hide(): void {
    if (this.shown.peek() !== null) this.shown.value = null;
  }
}

const GAP = 12;

/**
 * Draws what {@link TooltipControl} was told. `Panel` holds it already; nobody else needs to.
 *
 * It lies inside the panel and not in the page, as notebooks clip, scroll and re-order their cells.
 */
export function Tooltip(): JSX.Element | null {
  const { shown } = useTooltip();
  const frame = useRef<HTMLDivElement>(null);
  const now = shown.value;
  useLayoutEffect(() => {
    const element = frame.current;
    const root = element?.closest<HTMLElement>(".explorer-panel");
    if (now === null || !element || !root) return;
    const outer = root.getBoundingClientRect();
    const { width, height } = element.getBoundingClientRect();
    const right = now.box.right - outer.left + GAP;
    const left = now.box.left - outer.left - GAP - width;
    const x = right + width <= outer.width - 4 ? right : Math.max(4, left);
    const below = now.box.bottom - outer.top + GAP;
    const above = now.box.top - outer.top - GAP - height;
    const y = below + height <= outer.height - 4 ? below : Math.max(4, above);
    element.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  });
  if (now === null) return null;
  return (
    <div ref={frame} class="explorer-tooltip" role="tooltip">
      {now.content}
    </div>
  );
}
