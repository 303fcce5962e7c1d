import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import panel from "../src/attention";
import { LIST_GAP, LIST_WIDTH, axisLabel, layoutHeads, layoutMap, listBeside } from "../src/attention-layout";
import { boxOf } from "../src/shared";
import { FakeModel, common, settled, tokensOf, wired } from "./fake-model";

const TEXTS = ["When", " Mary", " to"];
const LAYERS = 4;
const HEADS = 3;
const WIDTH = 640;

/** A causal map: every query attends to all keys up to itself, most of all to the first. */
function weights(size: number): Float32Array {
  const values = new Float32Array(size * size);
  for (let row = 0; row < size; row++)
    for (let col = 0; col <= row; col++) values[row * size + col] = (size - col) / 10;
  return values;
}

function state(texts: readonly string[] = TEXTS): Record<string, unknown> {
  const size = texts.length;
  const one = Uint8Array.from(weights(size), (value) => Math.round(value * 255));
  const grid = new Uint8Array(LAYERS * HEADS * size * size);
  for (let at = 0; at < LAYERS * HEADS; at++) grid.set(one, at * size * size);
  const starts = texts.map((_, index) => index);
  return {
    ...common({ text: texts.join("") }),
    view: {
      request: 1,
      tokens: tokensOf(...texts),
      notes: [],
      layers: LAYERS,
      heads: HEADS,
      heads_per_layer: [3, 3, 2, 3],
      grid: wired(grid, [LAYERS, HEADS, size, size]),
      grid_max_error: 1 / 510,
      queries_sampled: null,
      positions: size,
    },
    matrix: {
      request: 1,
      layer: 1,
      head: 2,
      data: wired(weights(size), [size, size]),
      row_start: starts,
      col_start: starts,
      block: 1,
    },
    selection: { layer: 1, heads: [2], query: null, key: null, stack: null, kind: "attn" },
  };
}

let view: AbortController;
let el: HTMLElement;

async function mount(traits: Record<string, unknown>): Promise<FakeModel> {
  const model = new FakeModel(traits);
  panel.render({ model, el, signal: view.signal });
  await settled();
  return model;
}

const map = (): HTMLElement => el.querySelector(".explorer-map") as HTMLElement;
const heads = (): HTMLElement => el.querySelector(".explorer-heads") as HTMLElement;
const words = (): string => el.textContent ?? "";

function clickCell(row: number, col: number): void {
  const labels = TEXTS.map((text) => text.trim());
  const room = listBeside(3, 3, WIDTH) ? WIDTH - LIST_WIDTH - LIST_GAP : WIDTH;
  const box = boxOf(layoutMap(3, 3, labels, labels, room, 1).lattice, { row, col });
  map().dispatchEvent(
    new MouseEvent("click", { clientX: box.left + 2, clientY: box.top + 2, bubbles: true }),
  );
}

/** The table of weights, unfolded. */
async function table(): Promise<HTMLElement> {
  const details = el.querySelector(".explorer-weights details") as HTMLDetailsElement;
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
  await settled();
  return el.querySelector("tbody") as HTMLElement;
}

function press(target: HTMLElement, key: string): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

beforeAll(() => {
  Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => WIDTH });
});

beforeEach(() => {
  view = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  view.abort();
  document.body.replaceChildren();
});

describe("selection", () => {
  it("is written by a click on a cell, and let go by a second one", async () => {
    const model = await mount(state());
    clickCell(2, 1);
    expect(model.saves[0]).toEqual({
      selection: { layer: 1, heads: [2], query: 2, key: 1, stack: null, kind: "attn" },
    });
    await settled();
    expect(el.querySelector("p[aria-live]")?.textContent).toBe("Layer 1, head 2: “ to” → “ Mary” 0.200");
    clickCell(2, 1);
    expect(model.saves[1]).toMatchObject({ selection: { query: null, key: null } });
  });

  it("is written by a click on a thumbnail", async () => {
    const model = await mount(state());
    const box = boxOf(layoutHeads(LAYERS, HEADS, WIDTH, 1).lattice, { row: 0, col: 3 });
    heads().dispatchEvent(
      new MouseEvent("click", { clientX: box.left + 1, clientY: box.top + 1, bubbles: true }),
    );
    expect(model.saves[0]).toMatchObject({ selection: { layer: 3, heads: [0], query: null } });
  });

  it("does not choose a head that its layer lacks", async () => {
    const model = await mount(state());
    const box = boxOf(layoutHeads(LAYERS, HEADS, WIDTH, 1).lattice, { row: 2, col: 2 });
    heads().dispatchEvent(
      new MouseEvent("click", { clientX: box.left + 1, clientY: box.top + 1, bubbles: true }),
    );
    expect(model.saves).toEqual([]);
  });

  it("moves the view when Python sets it", async () => {
    const model = await mount(state());
    model.arrive("selection", { layer: 3, heads: [0, 1], query: 1, key: 0, stack: null, kind: "attn" });
    await settled();
    expect(words()).toContain("layer 3 · head 0");
    expect(heads().querySelectorAll(".explorer-frame.is-chosen").length).toBe(2);
    expect(map().querySelector(".is-row.is-chosen")?.textContent).toBe("Mary");
    expect(map().querySelector(".is-col.is-chosen")?.textContent).toBe("When");
  });

  it("marks nothing that the text does not have", async () => {
    const model = await mount(state());
    model.arrive("selection", { layer: 1, heads: [2], query: 77, key: 1, stack: null, kind: "attn" });
    await settled();
    expect(map().querySelectorAll(".is-row.is-chosen").length).toBe(0);
    expect(map().querySelectorAll(".is-col.is-chosen").length).toBe(1);
  });

  it("gets the head that is seen when a cell is clicked and no head was chosen", async () => {
    const nobody = { layer: null, heads: null, query: null, key: null, stack: null, kind: "attn" };
    const model = await mount({ ...state(), selection: nobody });
    expect(words()).toContain("no head is chosen");
    clickCell(1, 0);
    expect(model.saves[0]).toEqual({ selection: { ...nobody, layer: 0, heads: [0], query: 1, key: 0 } });
  });

  it("stays inside the model, whatever it says", async () => {
    const model = await mount(state());
    for (const odd of [
      {},
      null,
      { layer: 99, heads: [-4], query: 77, key: 77 },
      { layer: null, heads: [] },
    ]) {
      model.arrive("selection", odd);
      await settled();
      expect(el.querySelector(".explorer-fault")).toBeNull();
      expect(map()).not.toBeNull();
    }
  });
});

describe("keys", () => {
  it("walk layers and heads in the thumbnails", async () => {
    const model = await mount(state());
    const walked: unknown[] = [];
    for (const key of ["ArrowRight", "ArrowRight", "ArrowUp", "Home", "End", "ArrowDown"]) {
      press(heads(), key);
      const { layer, heads: chosen } = model.state["selection"] as { layer: number; heads: number[] };
      walked.push([layer, chosen[0]]);
      await settled();
    }
    // Layer 2 has two heads: walking into it from head 2 ends on head 1.
    expect(walked).toEqual([
      [2, 1],
      [3, 1],
      [3, 0],
      [0, 0],
      [3, 0],
      [3, 1],
    ]);
  });

  it("walk the cells of the map; Enter chooses, Escape lets go", async () => {
    const model = await mount(state());
    for (const key of ["ArrowUp", "ArrowRight", "Home"]) {
      press(map(), key);
      await settled();
    }
    expect(el.querySelector("[role=tooltip]")?.textContent).toBe("“ Mary” → “When”0.300");
    press(map(), "Enter");
    expect(model.state["selection"]).toMatchObject({ query: 1, key: 0 });
    await settled();
    press(map(), "Escape");
    expect(model.state["selection"]).toMatchObject({ layer: 1, heads: [2], query: null, key: null });
  });

  it("walk the tokens; Enter chooses a query", async () => {
    const model = await mount(state());
    const first = el.querySelector<HTMLElement>("[data-index='0']");
    first?.focus();
    press(first as HTMLElement, "ArrowRight");
    expect(document.activeElement?.getAttribute("data-index")).toBe("1");
    press(document.activeElement as HTMLElement, "Enter");
    expect(model.state["selection"]).toMatchObject({ query: 1, key: null });
  });

  it("are listed on ?", async () => {
    await mount(state());
    press(map(), "?");
    await settled();
    expect(el.querySelector(".explorer-keys")?.textContent).toContain("walk heads or queries");
  });
});

describe("what is shown", () => {
  it("says what is masked and what a cell weighs", async () => {
    await mount(state());
    press(map(), "PageUp");
    press(map(), "End");
    await settled();
    expect(words()).toContain("“When” → “ to”masked: it comes later");
  });

  it("uses the thumbnail until the exact weights of this picture arrive", async () => {
    const model = await mount(state());
    model.arrive("selection", { layer: 0, heads: [0], query: null, key: null, stack: null, kind: "attn" });
    await settled();
    expect(words()).toContain("exact weights are being computed");
    expect(words()).toContain("≈ 0.30");
    model.arrive("matrix", { ...(state()["matrix"] as object), layer: 0, head: 0 });
    await settled();
    expect(words()).not.toContain("exact weights are being computed");
    expect(words()).toContain("0.300");
  });

  it("ignores a map that belongs to another picture", async () => {
    const model = await mount(state());
    model.arrive("view", { ...(state()["view"] as object), request: 2 });
    await settled();
    expect(words()).toContain("exact weights are being computed");
  });

  it("says that rows were sampled and cells are blocks", async () => {
    const traits = state();
    traits["view"] = { ...(traits["view"] as object), queries_sampled: 2 };
    traits["matrix"] = {
      ...(traits["matrix"] as object),
      data: wired(new Float32Array([0.5, 0, 0.25, 0.125]), [2, 2]),
      row_start: [0, 2],
      col_start: [0, 2],
      block: 2,
    };
    await mount(traits);
    expect(words()).toContain("each cell is the largest of 2 × 2 weights");
    expect(words()).toContain("sampled 2 of 3 rows, exactly computed");
    press(map(), "Home");
    await settled();
    expect(el.querySelector("[role=tooltip]")?.textContent).toContain(
      "0.250, the largest in a block of 1 × 2",
    );
  });

  it("lists the row's weights as a table", async () => {
    await mount(state());
    const cells = [...(await table()).querySelectorAll("tr")].map((row) => row.textContent);
    expect(cells).toEqual(["0“When”0.300", "1“ Mary”0.200", "2“ to”0.100"]);
  });

  it("hides the first token on request, and says how much that is", async () => {
    await mount(state());
    (el.querySelector("[aria-pressed]") as HTMLElement).click();
    await settled();
    expect(words()).toContain("first token hidden: 64 % of the mass");
  });

  it("draws a map of one token", async () => {
    await mount({ ...state(["Hello"]) });
    expect(map().getAttribute("aria-rowcount")).toBe("1");
    expect((await table()).textContent).toBe("0“Hello”0.100");
  });

  it("is a quiet skeleton before the first picture, and fills the room when it comes", async () => {
    const model = await mount({ ...state(), view: {}, matrix: {} });
    expect(words()).toContain("waiting for the model");
    model.arrive("view", state()["view"]);
    await settled();
    expect(words()).not.toContain("waiting for the model");
    expect(heads().style.width).toBe(`${layoutHeads(LAYERS, HEADS, WIDTH, 1).width}px`);
  });

  it("takes the page's new colours when its theme is switched", async () => {
    await mount(state());
    const chip = (): string => el.querySelector<HTMLElement>("[data-index='0']")?.style.background ?? "";
    const light = chip();
    document.body.setAttribute("data-jp-theme-light", "false");
    await settled();
    expect(el.querySelector(".explorer-panel")?.getAttribute("data-theme")).toBe("dark");
    expect(chip()).not.toBe(light);
    document.body.removeAttribute("data-jp-theme-light");
    await settled();
    expect(chip()).toBe(light);
  });
});

describe("the worst day", () => {
  it("keeps the last picture, dimmed, under the kernel's error", async () => {
    const model = await mount(state());
    const error = { message: "text has 9000 tokens; at most 8192.", detail: "Traceback" };
    model.arrive("status", { state: "error", request: 2, error });
    await settled();
    expect(el.querySelector(".explorer-fault p")?.textContent).toBe(error.message);
    expect(el.querySelector(".explorer-picture.is-dimmed .explorer-map")).not.toBeNull();
    expect(el.querySelector(".explorer-fault details")?.textContent).toContain("Traceback");
  });

  it.each([
    ["no dictionary", "nonsense"],
    ["no tokens", { request: 1 }],
    ["a token without text", { request: 1, tokens: [null] }],
    ["no grid", { ...(state()["view"] as object), grid: undefined }],
    ["a grid of another size", { ...(state()["view"] as object), layers: 5 }],
    ["more tokens than positions", { ...(state()["view"] as object), positions: 2 }],
  ])("shows an error card for a view with %s, and the last good picture", async (_what, broken) => {
    const model = await mount({ ...state(), view: broken });
    expect(el.querySelector(".explorer-fault")?.textContent).toContain("The picture cannot be read.");
    model.arrive("view", state()["view"]);
    await settled();
    expect(el.querySelector(".explorer-fault")).toBeNull();
    model.arrive("view", broken);
    await settled();
    expect(el.querySelector(".explorer-fault")).not.toBeNull();
    expect(map()).not.toBeNull();
  });

  it("shows the thumbnail and an error card for a malformed map", async () => {
    const traits = state();
    await mount({
      ...traits,
      matrix: { ...(traits["matrix"] as object), data: wired(new Float32Array(4), [2, 2]) },
    });
    expect(el.querySelector(".explorer-fault")?.textContent).toContain("The chosen head cannot be read.");
    expect(map()).not.toBeNull();
  });

  it("writes a weight that is not a number as such", async () => {
    const traits = state();
    const values = weights(3);
    values[6] = NaN;
    await mount({ ...traits, matrix: { ...(traits["matrix"] as object), data: wired(values, [3, 3]) } });
    expect((await table()).textContent).toContain("“When”not a number");
  });

  it("shows tokens with markup as text", async () => {
    const payload = "</script><img src=x onerror=alert(1)>";
    await mount({ ...state([payload, " b", payload]) });
    press(map(), "Home");
    await settled();
    expect(el.querySelector("img, script")).toBeNull();
    expect(el.querySelector("[data-index='0'] bdi")?.textContent).toBe(payload);
    expect(el.querySelector("[role=tooltip]")?.textContent).toContain(payload);
    expect(map().querySelector(".is-row")?.textContent).toBe(payload);
  });

  it("leaves nothing behind when the view goes", async () => {
    const model = await mount(state());
    expect(model.listening).toBeGreaterThan(0);
    press(map(), "Home");
    view.abort();
    expect(model.listening).toBe(0);
    expect(el.childElementCount).toBe(0);
    document.body.setAttribute("data-jp-theme-light", "false");
    model.arrive("view", {});
    await settled();
    expect(el.childElementCount).toBe(0);
    document.body.removeAttribute("data-jp-theme-light");
  });

  it("draws two views of one model, each by itself", async () => {
    const model = await mount(state());
    const other = new AbortController();
    const second = document.createElement("div");
    document.body.append(second);
    panel.render({ model, el: second, signal: other.signal });
    const before = model.listening;
    other.abort();
    expect(model.listening).toBe(before / 2);
    expect(map()).not.toBeNull();
  });
});

describe("labels", () => {
  it("drop the leading space and show pure space", () => {
    expect(tokensOf(" Mary", "  ", "").map(axisLabel)).toEqual(["Mary", "␣␣", "␣"]);
  });
});
