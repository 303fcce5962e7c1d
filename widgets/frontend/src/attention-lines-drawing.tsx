/** How the heads' lines look: each its colour and its dashes, so that they differ for every eye and on grey paper. */

import type { JSX } from "preact";
import { type Place, type Stroke, opacity } from "./attention-lines-picture";

// Six hues that the usual kinds of colour blindness keep apart in lightness or hue, each 3 to 1 against its surface.
const LIGHT = ["#0b62c4", "#c2410c", "#00795c", "#9c3d96", "#7a5c00", "#475569"];
const DARK = ["#6fb1ff", "#ff9a5c", "#4fd1a5", "#e295dd", "#e2c04a", "#b4c0d0"];
// With six hues, twelve heads differ before both begin anew.
const DASHES: readonly (readonly number[])[] = [[], [9, 4], [2, 3], [9, 3, 2, 3]];
const BROKEN = [1, 4];

export function headColor(place: number, dark: boolean): string {
  const hues = dark ? DARK : LIGHT;
  return hues[place % hues.length] as string;
}

export function headDash(place: number): readonly number[] {
  return DASHES[place % DASHES.length] as readonly number[];
}

/** A piece of a head's line, for its button. */
export function LineKey({ place, dark }: { place: number; dark: boolean }): JSX.Element {
  return (
    <svg class="explorer-lines-key" width="28" height="8" aria-hidden="true">
      <line
        x1="0"
        x2="28"
        y1="4"
        y2="4"
        stroke={headColor(place, dark)}
        stroke-width="2.5"
        stroke-dasharray={headDash(place).join(" ") || undefined}
      />
    </svg>
  );
}

export interface Drawing {
  /** The only token whose lines are drawn: numbers stand at their other ends. */
  place: Place | null;
  /** How wide those numbers are. */
  numbers: number;
  dark: boolean;
  ratio: number;
}

/** Draws lines from the left edge of a canvas to its right, beside the numbers where there are some. */
export function drawLines(canvas: HTMLCanvasElement, lines: readonly Stroke[], { place, numbers, dark, ratio }: Drawing): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  const context = canvas.getContext("2d");
  if (context === null || width === 0) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.scale(ratio, ratio);
  const left = place?.side === "key" ? numbers : 0;
  const right = width - (place?.side === "query" ? numbers : 0);
  const bend = (right - left) * 0.4;
  for (const { from, to, head, weight } of lines) {
    const number = Number.isFinite(weight);
    context.globalAlpha = opacity(weight);
    context.strokeStyle = headColor(head, dark);
    context.lineWidth = number ? 0.75 + 2.25 * Math.max(0, Math.min(1, weight)) : 1.5;
    context.setLineDash(number ? [...headDash(head)] : BROKEN);
    context.beginPath();
    context.moveTo(left, from);
    context.bezierCurveTo(left + bend, from, right - bend, to, right, to);
    context.stroke();
  }
}
