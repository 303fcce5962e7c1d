/**
 * Whether the page around a panel is dark. The page's own word counts, not the operating system's: an editor's theme
 * often differs from the desktop's.
 */

import { type ReadonlySignal, signal as makeSignal } from "@preact/signals";
import type { Rgb } from "./colors";

/** A computed CSS colour as numbers from 0 to 255, or null where it is mostly transparent or not understood. */
export function rgb(color: string): Rgb | null {
  const parts = color.match(/^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)(?:[\s,/]+([\d.]+)(%?))?/i);
  if (parts === null) return null;
  const alpha = parts[4] === undefined ? 1 : Number(parts[4]) / (parts[5] === "%" ? 100 : 1);
  return alpha < 0.5 ? null : [Number(parts[1]), Number(parts[2]), Number(parts[3])];
}

/** How light a colour is, 0 to 1. */
export function lightness([red, green, blue]: Rgb): number {
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
}

/** The first opaque background from `el` outwards, through shadow roots too. */
export function surfaceBehind(el: Element): Rgb | null {
  let node: Element | null = el;
  while (node !== null) {
    const found = rgb(getComputedStyle(node).backgroundColor);
    if (found !== null) return found;
    const root: Node = node.getRootNode();
    node = node.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
  }
  return null;
}

const PAPER = "print";
const FORCED = "(forced-colors: active)";
const SCHEME = "(prefers-color-scheme: dark)";

/**
 * Whether the page is dark: JupyterLab's word, then VS Code's, Colab's, marimo's, then the background itself. Paper is
 * never dark, and colours that the system forces on all pages are as dark as the system says.
 */
export function isDark(el: Element): boolean {
  if (matchMedia(PAPER).matches) return false;
  if (matchMedia(FORCED).matches) return matchMedia(SCHEME).matches;
  const { body, documentElement: html } = document;
  const jupyter = body.getAttribute("data-jp-theme-light");
  if (jupyter !== null) return jupyter === "false";
  const has = (name: string): boolean => body.classList.contains(name) || html.classList.contains(name);
  if (has("vscode-dark")) return true;
  if (has("vscode-high-contrast")) return !has("vscode-high-contrast-light");
  if (has("vscode-light") || has("vscode-high-contrast-light")) return false;
  const colab = html.getAttribute("theme");
  if (colab !== null) return colab === "dark";
  if (has("dark") || has("dark-theme") || el.closest(".dark") !== null) return true;
  if (has("light") || has("light-theme")) return false;
  const behind = surfaceBehind(el);
  if (behind !== null) return lightness(behind) < 0.5;
  // Nothing on the page says anything: an unstyled page is white unless the reader asked the browser otherwise.
  return getComputedStyle(html).colorScheme.includes("dark") && matchMedia(SCHEME).matches;
}

export interface Theme {
  dark: ReadonlySignal<boolean>;
  /** Counts the page's changes of colours; whatever draws with computed colours draws anew when it grows. */
  revision: ReadonlySignal<number>;
  /** What the panel stands on now, as far as it can be told. */
  surface: () => Rgb | null;
}

const TOLD_BY = ["class", "style", "theme", "data-theme", "data-jp-theme-light", "data-jp-theme-name"];

/** The page's theme as signals that follow a switch until `abort` fires. */
export function watchTheme(el: Element, abort: AbortSignal): Theme {
  const dark = makeSignal(isDark(el));
  const revision = makeSignal(0);
  const surface = (): string => getComputedStyle(el.querySelector(".explorer-panel") ?? el).backgroundColor;
  let known = surface();
  // Notebooks change the body's classes all the time, and seldom its colours.
  const look = (): void => {
    dark.value = isDark(el);
    const now = surface();
    if (now !== known) revision.value += 1;
    known = now;
  };
  const observer = new MutationObserver(look);
  const told = { attributes: true, attributeFilter: TOLD_BY };
  observer.observe(document.body, told);
  observer.observe(document.documentElement, told);
  for (const query of [PAPER, FORCED, SCHEME]) matchMedia(query).addEventListener("change", look, { signal: abort });
  abort.addEventListener("abort", () => observer.disconnect(), { once: true });
  return { dark, revision, surface: () => surfaceBehind(el.querySelector(".explorer-panel") ?? el) };
}
