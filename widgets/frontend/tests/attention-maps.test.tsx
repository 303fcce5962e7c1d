import { afterEach, describe, expect, it } from "vitest";
import { cut, readCells, signed, written } from "../src/attention-cells";
import depth, { readDepth } from "../src/attention-depth";
import difference, { readDifference } from "../src/attention-difference";
import { FakeModel, common, settled, tokensOf, wired } from "./fake-model";

const tokens = tokensOf("The", " cat", " sat");
const lower = Int32Array.from([0, 1, 0, 2, 0, 3]);

function cells(values: number[], size = 3) {
  const starts = Array.from({ length: size }, (_, at) => at);
  return {
    ...{ data: wired(Float32Array.from(values), [size, size]), row_start: starts, col_start: starts },
    ...{ rows: size, columns: size, block: 1, seen: wired(lower, [size, 2]) },
  };
}

const depthView = (values: number[], measure = "rollout") => ({
  ...{ request: 1, tokens, notes: [], measure, layer: 2, layers: 4, heads: [], ...cells(values) },
  ...{ query_tokens: tokens, key_tokens: tokens },
});

const group = (label: string, how: string, before: [number, number], now: [number, number]) => ({ label, how, before, now });
const groups = [
  group("The", "same", [0, 1], [0, 1]),
  group(" big", "only_now", [1, 1], [1, 2]),
  group(" cat →  dog", "replaced", [1, 2], [2, 3]),
];
const differenceView = {
  ...{ request: 1, tokens, notes: [], reference: "prompt", layer: 2, heads: [1], queries: groups, keys: groups },
  ...cells([0, 0, 0, NaN, NaN, NaN, -0.25, 0.5, 0.125]),
  first: wired(Float32Array.from([1, 0, 0, NaN, NaN, NaN, 0.75, 0, 0.25]), [3, 3]),
  second: wired(Float32Array.from([1, 0, 0, 0.5, 0.5, 0, 0.5, 0.5, 0.375]), [3, 3]),
};

const ended: AbortController[] = [];
afterEach(() => {
  for (const view of ended.splice(0)) view.abort();
  document.body.replaceChildren();
});

async function drawn(module: typeof depth, state: object): Promise<{ el: HTMLElement; model: FakeModel }> {
  const model = new FakeModel({ ...common(), inside: true, selection: { layer: 2, heads: [1] }, ...state } as never);
  const el = document.body.appendChild(document.createElement("div"));
  const view = new AbortController();
  ended.push(view);
  await module.render({ model, el, signal: view.signal });
  await settled();
  return { el, model };
}

function press(target: Element, key: string): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

/** What a person does to a field: its value, and the event that tells. */
function put(target: Element | undefined | null, value: string, event: "input" | "change"): void {
  (target as HTMLInputElement).value = value;
  (target as HTMLInputElement).dispatchEvent(new Event(event, { bubbles: true }));
}

const said = (el: HTMLElement): string => el.querySelector("[role=gridcell]")?.textContent ?? "";

describe("cells", () => {
  it("are cut to the part that is looked at", () => {
    const all = readCells(depthView([1, 0, 0, 0.4, 0.6, 0, 0.2, 0.3, 0.5]) as never);
    const sides = { queries: 3, keys: 3, queryTokens: tokens, keyTokens: tokens };
    const { map, wholeCell } = cut(all, sides, { top: 1, left: 1, rows: 2, cols: 2 });
    expect([...map.weights].map((one) => Number(one.toFixed(3)))).toEqual([0.6, 0, 0.3, 0.5]);
    expect(wholeCell({ row: 1, col: 0 })).toEqual({ row: 2, col: 1 });
    expect([...map.visible]).toEqual([0, 2, 0, 3]);
  });

  it("are written with their sign and enough digits", () => {
    expect([written(0.1234, ""), written(123.456, ""), written(0.0001, ""), written(NaN, "?")]).toEqual([
      ...["0.123", "123.5", "1.0e-4", "?"],
    ]);
    expect([signed(0.5, ""), signed(-0.5, ""), signed(0, "")]).toEqual(["+0.500", "−0.500", "0.000"]);
  });

  it("are refused where their parts do not fit", () => {
    expect(() => readCells({ ...depthView([1, 0, 0, 0, 0, 0, 0, 0, 0]), row_start: [0] } as never)).toThrow("row_start");
    expect(() => readDepth({ ...depthView([1, 0, 0, 0, 0, 0, 0, 0, 0]), key_tokens: [] } as never)).toThrow("tokens");
  });
});

describe("the view over depth", () => {
  const values = [1, 0, 0, 0.4, 0.6, 0, 0.2, 0.3, 0.5];

  it("says its measure, what it means, and each cell's number", async () => {
    const { el } = await drawn(depth, { view: depthView(values), measure: "rollout" });
    expect(el.querySelector(".explorer-subtitle")?.textContent).toBe("rollout · layers 0 to 2");
    expect(el.querySelector(".explorer-aside")?.textContent).toContain("Abnar & Zuidema 2020");
    const map = el.querySelector("[role=grid]") as HTMLElement;
    expect(said(el)).toBe("“ sat” → “The” 0.200");
    press(map, "ArrowRight");
    await settled();
    expect(said(el)).toBe("“ sat” → “ cat” 0.300");
  });

  it("writes the measure, the layer and the chosen cell", async () => {
    const { el, model } = await drawn(depth, { view: depthView(values), measure: "rollout" });
    const [measure, reach] = el.querySelectorAll("select");
    put(measure as Element, "norm", "change");
    put(reach as Element, "rest", "change");
    put(el.querySelector("input[type=range]") as Element, "3", "input");
    press(el.querySelector("[role=grid]") as Element, "Enter");
    await settled();
    expect(model.state["measure"]).toBe("norm");
    expect(model.state["reach"]).toBe("rest");
    expect(model.state["selection"]).toMatchObject({ layer: 3, heads: [1], query: 2, key: 0 });
    expect(el.querySelector(".explorer-aside")?.textContent).toContain("first token is left out");
  });

  it("says which rows of flow are not computed", async () => {
    const rows = [NaN, NaN, NaN, NaN, NaN, NaN, 0.2, 0.3, 0.5];
    const { el } = await drawn(depth, { view: depthView(rows, "flow"), measure: "flow" });
    expect(el.querySelector(".explorer-aside")?.textContent).toContain("1 of 3 rows computed");
    press(el.querySelector("[role=grid]") as Element, "ArrowUp");
    await settled();
    expect(said(el)).toBe("“ cat” → “The” not computed; choose this row");
  });
});

describe("the view of differences", () => {
  it("says both sides and the difference, what only one side has, and what is paired", async () => {
    const { el } = await drawn(difference, { view: differenceView, reference: "prompt", other_prompt: "The cat" });
    expect(said(el)).toContain("−0.250 (the other prompt 0.750, this prompt 0.500)");
    const map = el.querySelector("[role=grid]") as HTMLElement;
    press(map, "ArrowRight");
    await settled();
    expect(said(el)).toContain("only this prompt: 0.500");
    const aside = el.querySelector(".explorer-aside")?.textContent ?? "";
    expect(aside).toContain("largest difference −0.250");
    expect(aside).toContain("only this prompt, hatched: “ big”");
    expect(aside).toContain("different tokens in the same place");
    expect(el.querySelector(".explorer-legend")?.textContent).toBe("0.250 less0.250 more");
  });

  it("keeps the field while the first picture comes, and writes what is typed", async () => {
    const { data: _, queries: __, keys: ___, ...nothing } = differenceView;
    const { el, model } = await drawn(difference, { view: nothing, reference: "prompt", other_prompt: "" });
    expect(el.querySelector(".explorer-note")?.textContent).toContain("Type a second prompt");
    const field = el.querySelector("input") as HTMLInputElement;
    put(field, "The cat", "input");
    expect(model.state["other_prompt"]).toBe("The cat");
    model.arrive("view", differenceView);
    await settled();
    expect(el.querySelector("input")).toBe(field);
    expect(field.value).toBe("The cat");
    const option = el.querySelector("select") as HTMLSelectElement;
    expect([...option.options].map(({ value }) => value)).toEqual(["edits", "prompt", "pinned"]);
    put(option, "pinned", "change");
    expect(model.state["reference"]).toBe("pinned");
  });

  it("refuses groups that do not fit", () => {
    expect(() => readDifference({ ...differenceView, keys: [] } as never)).toThrow("hold 3 and 0");
  });
});
