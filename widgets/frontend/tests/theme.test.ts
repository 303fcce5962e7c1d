import { afterEach, describe, expect, it } from "vitest";
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
