import { afterEach, describe, expect, it } from "vitest";
import { TokenStrip, type TokenStripProps, Tooltip, mountPanel } from "../src/shared";
import { FakeModel, common, settled, token, tokensOf } from "./fake-model";

let view = new AbortController();

afterEach(() => {
  view.abort();
  view = new AbortController();
  document.body.replaceChildren();
});

async function strip(props: Omit<TokenStripProps, "label">): Promise<HTMLElement> {
  const el = document.createElement("div");
  document.body.append(el);
  const Row = () => (
    <div class="explorer-panel">
      <TokenStrip label="Tokens" {...props} />
      <Tooltip />
    </div>
  );
  mountPanel(Row).render({ model: new FakeModel({ ...common() }), el, signal: view.signal });
  await settled();
  return el;
}

const piece = (el: HTMLElement, index: number): HTMLElement =>
  el.querySelector(`[data-index='${index}']`) as HTMLElement;

async function press(key: string): Promise<void> {
  document.activeElement?.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }),
  );
  await settled();
}

const focused = (): string | null => document.activeElement?.getAttribute("data-index") ?? null;

const ASTRONAUT = [1, 2, 3].map((part) => token("🧑‍🚀", { id: 200 + part, group: 1, part, parts: 3 }));

describe("the token strip", () => {
  it("keeps leading spaces, isolates every chip and names every token", async () => {
    const el = await strip({ tokens: tokensOf("When", " Mary") });
    expect([...el.querySelectorAll("bdi")].map((text) => [text.textContent, text.dir])).toEqual([
      ["When", "auto"],
      [" Mary", "auto"],
    ]);
    expect(piece(el, 1).getAttribute("aria-label")).toBe("token 1, “ Mary”");
    expect(el.querySelector("[role=list]")?.getAttribute("aria-label")).toBe("Tokens");
  });

  it("lets Tab in at one place and walks with the arrows", async () => {
    const el = await strip({ tokens: tokensOf("a", "b", "c") });
    expect([...el.querySelectorAll("[tabindex='0']")].map((at) => at.getAttribute("data-index"))).toEqual([
      "0",
    ]);
    piece(el, 0).focus();
    const walked: (string | null)[] = [];
    for (const key of ["ArrowRight", "End", "ArrowRight", "ArrowLeft", "Home", "ArrowLeft"]) {
      await press(key);
      walked.push(focused());
    }
    expect(walked).toEqual(["1", "2", "2", "1", "0", "0"]);
    expect([...el.querySelectorAll("[tabindex='0']")].length).toBe(1);
  });

  it("walks leftwards in text that is written leftwards", async () => {
    const el = await strip({ tokens: tokensOf("مر", "حبا") });
    expect(el.querySelector(".explorer-tokens")?.getAttribute("dir")).toBe("rtl");
    piece(el, 0).focus();
    await press("ArrowLeft");
    expect(focused()).toBe("1");
  });

  it("reports looking, choosing and letting go", async () => {
    const told: unknown[] = [];
    const el = await strip({
      tokens: tokensOf("a", "b"),
      onHover: (index) => told.push(["hover", index]),
      onClick: (index) => told.push(["click", index]),
      onRelease: () => told.push(["release"]),
    });
    piece(el, 1).focus();
    await press("Enter");
    await press("Escape");
    piece(el, 0).click();
    expect(told).toEqual([["hover", 1], ["click", 1], ["release"], ["click", 0]]);
    expect(piece(el, 0).getAttribute("role")).toBe("option");
  });

  it("shows the pieces of one character in one chip, each with its own colour and number", async () => {
    const background = ["red", "green", "blue"];
    const el = await strip({
      tokens: [token("a"), ...ASTRONAUT],
      active: 2,
      colorOf: (index) => (index === 0 ? null : { background: background[index - 1] ?? "", ink: null }),
    });
    expect(el.querySelectorAll(".explorer-chip").length).toBe(2);
    expect([1, 2, 3].map((index) => piece(el, index).style.background)).toEqual(background);
    expect(piece(el, 3).getAttribute("aria-label")).toBe("token 3, “🧑‍🚀” 3/3");
    expect(el.querySelector(".explorer-part")?.textContent).toBe("2/3");
    expect(el.querySelector(".is-active")?.getAttribute("data-index")).toBe("2");
    piece(el, 3).focus();
    await settled();
    expect(el.querySelector("[role=tooltip]")?.textContent).toBe("“🧑‍🚀” 3/3position 3 · id 203");
  });

  it("draws the beginning of a very long text, and the rest on request", async () => {
    const el = await strip({ tokens: tokensOf(...Array.from({ length: 5000 }, (_, index) => ` ${index}`)) });
    expect(el.querySelectorAll("[data-index]").length).toBe(600);
    const more = el.querySelector("button") as HTMLButtonElement;
    expect(more.textContent).toBe("show all 5,000 tokens");
    more.click();
    await settled();
    expect(el.querySelectorAll("[data-index]").length).toBe(5000);
  });

  it("is empty without tokens", async () => {
    const el = await strip({ tokens: [] });
    expect(el.querySelectorAll("[data-index]").length).toBe(0);
  });
});
