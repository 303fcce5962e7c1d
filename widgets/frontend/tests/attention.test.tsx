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

/** What Python says of every row of a causal map. */
function ofRows(values: Float32Array, size: number): Record<string, unknown> {
  const row = (at: number): Float32Array => values.subarray(at * size, (at + 1) * size);
  const of = (value: (at: number) => number): Float32Array => Float32Array.from({ length: size }, (_, at) => value(at));
  return {
    first: wired(of((at) => row(at)[0] as number), [size]),
    rest: wired(of((at) => 1 - row(at).reduce((sum, weight) => sum + weight, 0)), [size]),
    seen: wired(Int32Array.from({ length: size * 2 }, (_, at) => (at % 2 ? (at + 1) / 2 : 0)), [size, 2]),
    sinks: false,
    not_numbers: 0,
  };
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
      queries: size,
      keys: size,
      absent: [],
      windows: [null, null, null, null],
      sinks: [],
      stack: "",
      kind: "attn",
      choices: [{ stack: "", kind: "attn" }],
      site: "layers.{}.attn.z",
      decoder_tokens: null,
      keys_from: "prompt",
    },
    matrix: {
      request: 1,
      layer: 1,
      head: 2,
      heads: [2],
      combine: "mean",
      hide_sink: false,
      data: wired(weights(size), [size, size]),
      row_start: starts,
      col_start: starts,
      block: 1,
      ...ofRows(weights(size), size),
    },
    mode: "matrix",
    combine: "mean",
    scale: "linear",
    reach: "one",
    direction: "attends",
    hide_sink: false,
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

/** The list of the asked row's weights. */
const list = (): string[] => [...el.querySelectorAll(".explorer-weights li")].map((item) => item.textContent ?? "");

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

describe("what was written", () => {
  const written = { tokens: tokensOf(" the", " store"), going: false, unrecorded: "" };
  const button = (): HTMLButtonElement | null => el.querySelector(".explorer-written > button");
  const steps = (): HTMLElement[] => [...el.querySelectorAll<HTMLElement>(".explorer-written [data-index]")];

  it("has no place until something was written", async () => {
    const model = await mount(state());
    expect(button()).toBeNull();
    model.arrive("written", written);
    await settled();
    expect(button()?.getAttribute("aria-pressed")).toBe("true");
    expect(words()).toContain("step 1: the last row chose “ store”");
    model.arrive("written", null);
    await settled();
    expect(button()).toBeNull();
  });

  it("is left and taken up by the switch, and a step by its token", async () => {
    const model = await mount({ ...state(), written, with_written: true, step: null });
    steps()[0]!.click();
    await settled();
    expect(steps().map((one) => one.getAttribute("aria-selected"))).toEqual(["true", "false"]);
    expect(words()).toContain("step 0: the last row chose “ the”");
    press(steps()[0]!, "Enter");
    await settled();
    press(steps()[1]!, "Enter");
    press(steps()[1]!, "Escape");
    button()!.click();
    await settled();
    expect(model.saves).toEqual([{ step: 0 }, { step: null }, { step: 1 }, { step: null }, { with_written: false }]);
    expect(steps()).toEqual([]);
  });

  it("says why it was not recorded", async () => {
    const unrecorded = { key: "nobody_looked", about: {}, text: "No panel was there." };
    await mount({ ...state(), written: { ...written, unrecorded } });
    expect(button()?.disabled).toBe(true);
    expect(words()).toContain("No panel was there.");
  });
});

describe("selection", () => {
  it("is written by a click on a cell, and let go by a second one", async () => {
    const model = await mount(state());
    clickCell(2, 1);
    expect(model.saves[0]).toEqual({
      selection: { layer: 1, heads: [2], query: 2, key: 1, stack: null, kind: "attn" },
    });
    await settled();
    expect(el.querySelector("p[aria-live]")?.textContent).toBe("layer 1 · head 2 · “ to” → “ Mary” 0.200");
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
    expect(words()).toContain("layer 3 · mean of heads 0, 1");
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

/** Where a thumbnail lies. */
function clickHead(row: number, col: number, keys: MouseEventInit = {}): void {
  const box = boxOf(layoutHeads(LAYERS, HEADS, WIDTH, 1).lattice, { row, col });
  heads().dispatchEvent(
    new MouseEvent("click", { clientX: box.left + 1, clientY: box.top + 1, bubbles: true, ...keys }),
  );
}

describe("several heads", () => {
  it("join by Ctrl, up to one by Shift, and leave again", async () => {
    const model = await mount(state());
    const chosen = (): unknown => (model.state["selection"] as { heads: number[] }).heads;
    clickHead(0, 1, { ctrlKey: true });
    expect(chosen()).toEqual([2, 0]);
    await settled();
    clickHead(2, 1, { ctrlKey: true });
    expect(chosen()).toEqual([0]);
    await settled();
    clickHead(0, 1, { ctrlKey: true });
    expect(chosen()).toEqual([0]);
    clickHead(2, 1, { shiftKey: true });
    expect(chosen()).toEqual([0, 1, 2]);
    await settled();
    clickHead(1, 3, { ctrlKey: true });
    expect(model.state["selection"]).toMatchObject({ layer: 3, heads: [1] });
  });

  it("are shown as their mean or their largest", async () => {
    const model = await mount({ ...state(), selection: { layer: 1, heads: [0, 2], query: null, key: null } });
    const choice = el.querySelector("select[aria-label^='What several']") as HTMLSelectElement;
    choice.value = "max";
    choice.dispatchEvent(new Event("change", { bubbles: true }));
    expect(model.saves[0]).toEqual({ combine: "max" });
    await settled();
    expect(words()).toContain("layer 1 · largest of heads 0, 2");
  });

  it("are not shown by weights of the first alone", async () => {
    await mount({ ...state(), selection: { layer: 1, heads: [2, 0], query: null, key: null } });
    expect(words()).toContain("exact weights are being computed");
  });
});

describe("acting on heads", () => {
  const button = (name: string): HTMLElement =>
    [...el.querySelectorAll<HTMLElement>("button")].find((one) => one.textContent === name) as HTMLElement;

  it("writes an ablation, shows it, and takes it back", async () => {
    const model = await mount(state());
    button("ablate").click();
    const edit = { kind: "Ablate", site: "layers.1.attn.z", heads: [2] };
    expect(model.saves[0]).toEqual({ edits: [{ number: 0, label: "", edit }] });
    await settled();
    expect(button("ablate").getAttribute("aria-pressed")).toBe("true");
    expect(heads().querySelectorAll(".is-edited").length).toBe(1);
    button("ablate").click();
    expect(model.saves[1]).toEqual({ edits: [] });
  });

  it("writes a factor in place of the one before, and keeps other edits", async () => {
    const other = { number: 0, label: "Steer(...)", edit: null };
    const model = await mount({ ...state(), edits: [other] });
    const field = el.querySelector(".explorer-factor") as HTMLInputElement;
    for (const [typed, factor] of [["2", 2], ["0.5", 0.5]] as const) {
      field.value = typed;
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
      const edit = { kind: "Scale", factor, site: "layers.1.attn.z", heads: [2] };
      expect(model.saves.at(-1)).toMatchObject({ edits: [other, { edit }] });
      await settled();
    }
    field.value = "1";
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    expect(model.saves.at(-1)).toEqual({ edits: [other] });
    const before = model.saves.length;
    field.value = "much";
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    expect(model.saves.length).toBe(before);
  });
});

describe("heads in an order", () => {
  const ordered = { order: { thumbnails: true }, ranked: { request: 1, measure: "previous", heads: [[3, 1], [0, 0], [1, 2]] } };

  it("stand one after the other with their names, and arrows walk them", async () => {
    const model = await mount({ ...state(), ...ordered });
    const named = [...heads().querySelectorAll(".is-name")].map((one) => one.textContent);
    expect(named).toEqual(["3.1", "0.0", "1.2"]);
    expect(el.querySelector(".explorer-caption [role=status]")?.textContent).toBe("by previous token: 3 of 11 heads");
    press(heads(), "ArrowLeft");
    expect(model.saves[0]).toMatchObject({ selection: { layer: 0, heads: [0] } });
    press(heads(), "End");
    expect(model.saves[1]).toMatchObject({ selection: { layer: 1, heads: [2] } });
  });

  it("go back to layers", async () => {
    const model = await mount({ ...state(), ...ordered });
    [...el.querySelectorAll<HTMLElement>("button")].find((one) => one.textContent === "back to layers")?.click();
    expect(model.saves[0]).toEqual({ order: { thumbnails: false } });
  });

  it("say that none is left, and are hatched where their weights are not numbers", async () => {
    await mount({ ...state(), order: { thumbnails: true }, ranked: { measure: "previous", heads: [] } });
    expect(words()).toContain("by previous token: 0 of 11 heads");
    view.abort();
    view = new AbortController();
    el.replaceChildren();
    const traits = state();
    await mount({ ...traits, view: { ...(traits["view"] as object), not_numbers: [[1, 2]] } });
    expect(heads().querySelectorAll(".is-broken")).toHaveLength(1);
  });
});

describe("patching heads", () => {
  const button = (): HTMLButtonElement =>
    [...el.querySelectorAll("button")].find((one) => one.textContent === "patch") as HTMLButtonElement;

  it("asks Python, once something is pinned, and takes the edit back by its number", async () => {
    const model = await mount(state());
    expect(button().disabled).toBe(true);
    model.arrive("pinned", { text: "Other", edits: [], settings: {}, tokens: [], pictures: {} });
    await settled();
    button().click();
    expect(model.sent).toEqual([{ type: "patch", layer: 1, heads: [2] }]);
    const acts = { kind: "Patch", site: "layers.1.attn.z", heads: [2] };
    model.arrive("edits", [{ number: 0, label: "Patch(…)", edit: null, acts }]);
    await settled();
    expect(button().getAttribute("aria-pressed")).toBe("true");
    expect(heads().querySelectorAll(".is-edited")).toHaveLength(1);
    button().click();
    expect(model.saves[0]).toEqual({ edits: [] });
  });
});

describe("zooming", () => {
  it("shows a part with its own labels, and the whole again", async () => {
    const texts = Array.from({ length: 12 }, (_, index) => `t${index}`);
    const model = await mount(state(texts));
    const labels = (): (string | null)[] => [...map().querySelectorAll(".is-row")].map((label) => label.textContent);
    expect(labels().length).toBe(12);
    map().focus();
    for (const key of ["+", "+", "+"]) press(map(), key);
    await settled();
    expect(labels().length).toBeLessThan(12);
    expect(model.sent).toEqual([]); // all weights are there already
    press(map(), "Home");
    await settled();
    expect(labels().length).toBe(12);
  });

  it("asks for single weights where the whole is in blocks, and shows the blocks until they come", async () => {
    const traits = state(Array.from({ length: 12 }, (_, index) => `t${index}`));
    const starts = [0, 2, 4, 6, 8, 10];
    const blocks = { data: wired(weights(6), [6, 6]), row_start: starts, col_start: starts, block: 2 };
    const model = await mount({ ...traits, matrix: { ...(traits["matrix"] as object), ...blocks } });
    press(map(), "+");
    await settled();
    expect(model.sent).toMatchObject([{ type: "part", rows: [0, 12], columns: [0, 12], block: 1, heads: [2] }]);
    expect(words()).toContain("exact weights are being computed");
    const { data, ...shape } = wired(weights(12), [12, 12]);
    model.message({ answer: "part", number: 1, arrays: { weights: shape } }, [data]);
    await settled();
    expect(words()).not.toContain("exact weights are being computed");
    expect(map().getAttribute("aria-rowcount")).not.toBe("6");
  });
});

describe("the text", () => {
  it("is a view that arrows choose", async () => {
    const model = await mount(state());
    press(el.querySelector("[role=radiogroup]") as HTMLElement, "ArrowRight");
    expect(model.saves).toEqual([{ mode: "text" }]);
  });
});

describe("what a family does", () => {
  it("says what a learned sink takes, and draws it as a column of its own", async () => {
    const traits = state();
    const matrix = { ...(traits["matrix"] as object), sinks: true, rest: wired(new Float32Array([0.5, 0.25, 0]), [3]) };
    await mount({ ...traits, matrix });
    expect(words()).toContain("rows do not sum to 1: a learned sink takes 25 % of the mass");
    expect(map().querySelectorAll("canvas").length).toBe(2);
  });

  it("says which rows do not sum to one where no sink takes the rest", async () => {
    const traits = state();
    const rest = wired(new Float32Array([0.5, 0.001, 0]), [3]);
    await mount({ ...traits, matrix: { ...(traits["matrix"] as object), rest } });
    expect(words()).toContain("1 row does not sum to 1");
  });

  it("says how far a window reaches, and of a cell that it lies outside", async () => {
    const traits = state();
    const seen = wired(Int32Array.from([0, 1, 1, 2, 2, 3]), [3, 2]);
    const view = { ...(traits["view"] as object), windows: [null, 1, null, 1] };
    await mount({ ...traits, view, matrix: { ...(traits["matrix"] as object), seen } });
    expect(words()).toContain("sliding window of 1 token");
    press(map(), "Home");
    await settled();
    expect(el.querySelector("[role=tooltip]")?.textContent).toContain("outside of the sliding window");
  });

  it("lets one stack and kind of attention be chosen of several", async () => {
    const traits = state();
    const choices = [["encoder", "attn"], ["decoder", "attn"], ["decoder", "cross_attn"]].map(([stack, kind]) => ({ stack, kind }));
    const model = await mount({ ...traits, view: { ...(traits["view"] as object), choices, stack: "encoder" } });
    const choice = el.querySelector("select[aria-label='Which attention']") as HTMLSelectElement;
    expect([...choice.options].map((option) => option.textContent)).toContain("decoder · cross-attention");
    choice.value = "decoder/cross_attn";
    choice.dispatchEvent(new Event("change", { bubbles: true }));
    expect(model.saves[0]).toMatchObject({ selection: { stack: "decoder", kind: "cross_attn", query: null } });
  });

  it("says how many weights are not numbers", async () => {
    const traits = state();
    await mount({ ...traits, matrix: { ...(traits["matrix"] as object), not_numbers: 3 } });
    expect(words()).toContain("3 weights are not a number");
  });

  it("marks layers without softmax attention as such", async () => {
    const traits = state();
    const view = { ...(traits["view"] as object), heads_per_layer: [3, 3, 0, 3], absent: ["", "", "recurrent, no softmax attention", ""] };
    await mount({ ...traits, view });
    expect(heads().querySelectorAll(".explorer-absent").length).toBe(1);
    const box = boxOf(layoutHeads(LAYERS, HEADS, WIDTH, 1).lattice, { row: 1, col: 2 });
    heads().dispatchEvent(new MouseEvent("pointermove", { clientX: box.left + 2, clientY: box.top + 2, bubbles: true }));
    await settled();
    expect(el.querySelector("[role=tooltip]")?.textContent).toBe("layer 2 shows nothing: recurrent, no softmax attention");
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
    model.arrive("matrix", { ...(state()["matrix"] as object), layer: 0, heads: [0] });
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

  it("lists the row's weights", async () => {
    await mount(state());
    expect(list()).toEqual(["“When”0.300", "“ Mary”0.200", "“ to”0.100"]);
  });

  it("hides the first token on request, and says how much that is", async () => {
    const model = await mount(state());
    (el.querySelector("[aria-pressed]") as HTMLElement).click();
    expect(model.saves[0]).toEqual({ hide_sink: true });
    model.arrive("matrix", { ...(state()["matrix"] as object), hide_sink: true });
    await settled();
    expect(words()).toContain("first token hidden: 64 % of the mass");
  });

  it("draws a map of one token", async () => {
    await mount({ ...state(["Hello"]) });
    expect(map().getAttribute("aria-rowcount")).toBe("1");
    expect(list()).toEqual(["“Hello”0.100"]);
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
    expect(list()).toContain("“When”not a number");
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

  it("lets one of several images be chosen where each is read apart from the others", async () => {
    const traits = state();
    const images = { ...(traits["view"] as Record<string, unknown>), images: 2, apart: true };
    const model = await mount({ ...traits, view: images, image: 1 });
    const choice = (): HTMLSelectElement | null => el.querySelector("select[aria-label='Which image']");
    expect([...(choice()?.options ?? [])].map((option) => option.text)).toEqual(["image 0", "image 1"]);
    expect(choice()?.value).toBe("1");
    (choice() as HTMLSelectElement).value = "0";
    choice()?.dispatchEvent(new Event("change", { bubbles: true }));
    expect(model.saves.at(-1)).toEqual({ image: 0 });
    model.arrive("view", { ...images, apart: false }); // all lie on one axis: of the matrix there is nothing to choose
    await settled();
    expect(choice()).toBeNull();
    model.arrive("mode", "pictures");
    await settled();
    expect(choice()).not.toBeNull();
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
