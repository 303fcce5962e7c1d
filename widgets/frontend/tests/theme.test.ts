import { afterEach, describe, expect, it, vi } from "vitest";
import { isDark, watchTheme } from "../src/shared";
import { settled } from "./fake-model";

const { body, documentElement: html } = document;

afterEach(() => {
  for (const element of [body, html]) {
    for (const name of element.getAttributeNames()) element.removeAttribute(name);
  }
  body.replaceChildren();
});

function panel(): HTMLElement {
  const el = document.createElement("div");
  body.append(el);
  return el;
}

describe("isDark", () => {
  it("believes JupyterLab before anybody else", () => {
    body.className = "vscode-dark dark";
    body.setAttribute("data-jp-theme-light", "true");
    expect(isDark(panel())).toBe(false);
    body.className = "vscode-light";
    body.setAttribute("data-jp-theme-light", "false");
    expect(isDark(panel())).toBe(true);
  });

  it("then VS Code, before Colab", () => {
    html.setAttribute("theme", "light");
    body.className = "vscode-dark";
    expect(isDark(panel())).toBe(true);
    body.className = "vscode-high-contrast";
    expect(isDark(panel())).toBe(true);
    body.className = "vscode-high-contrast vscode-high-contrast-light";
    expect(isDark(panel())).toBe(false);
  });

  it("then Colab, before marimo", () => {
    html.setAttribute("theme", "light");
    html.className = "dark";
    expect(isDark(panel())).toBe(false);
    html.setAttribute("theme", "dark");
    expect(isDark(panel())).toBe(true);
  });

  it("then marimo, before the background", () => {
    body.style.backgroundColor = "rgb(255, 255, 255)";
    html.className = "dark";
    expect(isDark(panel())).toBe(true);
  });

  it("then the nearest opaque background", () => {
    body.style.backgroundColor = "rgb(255, 255, 255)";
    const outer = panel();
    outer.style.backgroundColor = "rgb(20, 23, 28)";
    const inner = document.createElement("div");
    inner.style.backgroundColor = "rgba(255, 255, 255, 0.1)";
    outer.append(inner);
    expect(isDark(inner)).toBe(true);
    expect(isDark(panel())).toBe(false);
  });

  it("is light where nothing is said", () => {
    expect(isDark(panel())).toBe(false);
  });
});

it("follows a switch until the view goes", async () => {
  const view = new AbortController();
  const { dark } = watchTheme(panel(), view.signal);
  body.setAttribute("data-jp-theme-light", "false");
  await settled();
  expect(dark.value).toBe(true);
  view.abort();
  body.setAttribute("data-jp-theme-light", "true");
  await settled();
  expect(dark.value).toBe(true);
});

/** A browser in which these media queries hold. */
function browser(...holding: string[]): Map<string, EventTarget> {
  const asked = new Map<string, EventTarget>();
  vi.spyOn(globalThis, "matchMedia").mockImplementation((query) => {
    const target = asked.get(query) ?? new EventTarget();
    asked.set(query, target);
    return Object.assign(target, { matches: holding.includes(query) }) as unknown as MediaQueryList;
  });
  return asked;
}

it("takes paper as light and forced colours as the system has them, whatever the page says", async () => {
  body.setAttribute("data-jp-theme-light", "false");
  const view = new AbortController();
  browser();
  const { dark } = watchTheme(panel(), view.signal);
  expect(dark.value).toBe(true);
  browser("print");
  expect(isDark(panel())).toBe(false);
  browser("(forced-colors: active)");
  expect(isDark(panel())).toBe(false);
  body.setAttribute("data-jp-theme-light", "true");
  browser("(forced-colors: active)", "(prefers-color-scheme: dark)");
  expect(isDark(panel())).toBe(true);
  view.abort();
});

it("draws anew when paper is asked for, until the view goes", () => {
  body.setAttribute("data-jp-theme-light", "false");
  const view = new AbortController();
  const asked = browser();
  const { dark } = watchTheme(panel(), view.signal);
  const paper = asked.get("print") as EventTarget & { matches: boolean };
  vi.mocked(matchMedia).mockImplementation((query) => ({ matches: query === "print" }) as MediaQueryList);
  paper.dispatchEvent(new Event("change"));
  expect(dark.value).toBe(false);
  view.abort();
  vi.mocked(matchMedia).mockImplementation(() => ({ matches: false }) as MediaQueryList);
  paper.dispatchEvent(new Event("change"));
  expect(dark.value).toBe(false);
});
