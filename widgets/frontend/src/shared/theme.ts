/**
 * Whether the page around a panel is dark. The page's own word counts, not the operating system's: an editor's theme
 * often differs from the desktop's.
 */

import { type ReadonlySignal, signal as makeSignal } from "@preact/signals";

/** How light a CSS colour is, 0 to 1, or null where it is transparent or not understood. */
export function lightness(color: string): number | null {
  const parts = color.match(/^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)(?:[\s,/]+([\d.]+)(%?))?/i);
  if (parts === null) return null;
  const alpha = parts[4] === undefined ? 1 : Number(parts[4]) / (parts[5] === "%" ? 100 : 1);
  if (alpha < 0.5) return null;
  return (0.2126 * Number(parts[1]) + 0.7152 * Number(parts[2]) + 0.0722 * Number(parts[3])) / 255;
}

/** The first opaque background from `el` outwards, through shadow roots too. */
function backgroundBehind(el: Element): number | null {
  let node: Element | null = el;
  while (node !== null) {
    const found = lightness(getComputedStyle(node).backgroundColor);
    if (found !== null) return found;
    const root: Node = node.getRootNode();
    node = node.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
  }
  return null;
}

/** Whether the page is dark: JupyterLab's word, then VS Code's, Colab's, marimo's, then the background itself. */
export function isDark(el: Element): boolean {
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
  const behind = backgroundBehind(el);
  if (behind !== null) return behind < 0.5;
  // Nothing on the page says anything: an unstyled page is white unless the reader asked the browser otherwise.
  return getComputedStyle(html).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches;
}

/** {@link isDark} as a signal that follows a theme switch until `abort` fires. */
export function watchTheme(el: Element, abort: AbortSignal): ReadonlySignal<boolean> {
  const dark = makeSignal(isDark(el));
  const update = (): void => {
    dark.value = isDark(el);
  };
  const observer = new MutationObserver(update);
  const attributes = { attributes: true, attributeFilter: ["class", "style", "theme", "data-jp-theme-light", "data-theme"] };
  observer.observe(document.body, attributes);
  observer.observe(document.documentElement, attributes);
  abort.addEventListener("abort", () => observer.disconnect(), { once: true });
  return dark;
}
