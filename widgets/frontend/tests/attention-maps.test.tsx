import { afterEach, describe, expect, it } from "vitest";
import { readCells, signed, written } from "../src/attention-cells";
import depth, { readDepth } from "../src/attention-depth";
import difference, { readDifference } from "../src/attention-difference";
import { finer } from "../src/attention-finer";
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

function largest(values: number[]) {
  const rows = [0, 3, 6].map((from) => Math.max(...values.slice(from, from + 3)));
  return { largest: wired(Float32Array.from(rows), [3]) };
}

const depthView = (values: number[], measure = "rollout") => ({
  ...{ request: 1, tokens, notes: [], measure, layer: 2, layers: 4, heads: [], combine: "mean", ...cells(values) },
  ...{ query_tokens: tokens, key_tokens: tokens, ...largest(values), rest: wired(new Float32Array(3), [3]) },
});

const group = (label: string, how: string, before: [number, number], now: [number, number]) => ({ label, how, before, now });
const groups = [
  group("The", "same", [0, 1], [0, 1]),
  group(" big", "only_now", [1, 1], [1, 2]),
  group(" cat →  dog", "replaced", [1, 2], [2, 3]),
];
const differenceView = {
  ...{ request: 1, tokens, notes: [], reference: "prompt", layer: 2, heads: [1], combine: "mean", queries: groups, keys: groups },
  most: { query: 2, key: 0, change: -0.25 },
  ...cells([0, NaN, 0, NaN, NaN, NaN, -0.25, NaN, 0.125]),
  first: wired(Float32Array.from([1, 0, 0, NaN, NaN, NaN, 0.75, 0, 0.25]), [3, 3]),
  second: wired(Float32Array.from([1, 0, 0, 0.5, 0.5, 0, 0.5, 0.5, 0.375]), [3, 3]),
};

const ended: AbortController[] = [];
afterEach(() => {
  for (const view of ended.splice(0)) view.abort();
  document.body.replaceChildren();
});

async function drawn(module: typeof depth, state: object, saved?: object): Promise<{ el: HTMLElement; model: FakeModel }> {
  const model = new FakeModel({ ...common(), inside: true, selection: { layer: 2, heads: [1] }, ...state } as never);
  if (saved !== undefined) Object.assign(model, { saved });
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
    const { all, seen } = readCells(depthView([1, 0, 0, 0.4, 0.6, 0, 0.2, 0.3, 0.5]) as never);
    const map = finer(all, seen, { queries: 3, keys: 3 }, { top: 1, left: 1, rows: 2, cols: 2 }, {}, null);
    expect([...map.weights].map((one) => Number(one.toFixed(3)))).toEqual([0.6, 0, 0.3, 0.5]);
    expect([map.rowStart, map.colStart]).toEqual([[1, 2], [1, 2]]);
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

/** A map of 300 positions in blocks of 2, whose number at (row, column) is row - column / 1000, none of them hidden. */
function large() {
  const starts = Array.from({ length: 150 }, (_, at) => at * 2);
  const values = starts.flatMap((row) => starts.map((col) => row + 1 - col / 1000));
  const many = tokensOf(...Array.from({ length: 300 }, (_, at) => ` t${at}`));
  const seen = Int32Array.from({ length: 600 }, (_, at) => (at % 2) * 300);
  return {
    ...{ request: 7, tokens: many, notes: [], layer: 2, layers: 4, heads: [], combine: "mean", measure: "rollout" },
    ...{ data: wired(Float32Array.from(values), [150, 150]), row_start: starts, col_start: starts, rows: 300, columns: 300 },
    ...{ block: 2, seen: wired(seen, [300, 2]), query_tokens: many, key_tokens: many },
    largest: wired(Float32Array.from({ length: 300 }, (_, row) => row), [300]),
    rest: wired(Float32Array.from({ length: 150 }, () => 0.5), [150]),
  };
}

/** What a kernel answers: each cell's numbers, one after the other. */
function answer(model: FakeModel, question: object, planes: ((row: number, col: number) => number)[]): void {
  const { number, rows, columns, block } = question as { number: number; rows: number[]; columns: number[]; block: number };
  const [height, width] = [rows, columns].map(([from = 0, to = 0]) => Math.ceil((to - from) / block)) as [number, number];
  const values = Array.from({ length: height * width }, (_, at) =>
    planes.map((plane) => plane(rows[0]! + Math.floor(at / width) * block, columns[0]! + (at % width) * block)),
  );
  const { data, ...shape } = wired(Float32Array.from(values.flat()), [height, width, planes.length]);
  model.message({ answer: "part", number, arrays: { weights: shape } }, [data]);
}

async function zoomIn(el: HTMLElement): Promise<void> {
  el.querySelector<HTMLElement>("button[aria-label='Zoom in']")?.click();
  await settled();
}

describe("a map of more positions than cells", () => {
  const aside = (el: HTMLElement): string => el.querySelector(".explorer-aside")?.textContent ?? "";

  it("asks for finer cells where one zooms in, says larger ones until they come, and drops what is stale", async () => {
    const { el, model } = await drawn(depth, { view: large(), measure: "rollout", selection: { layer: 2, query: 151, key: 149 } });
    expect(said(el)).toBe("“ t150” … “ t151” → “ t148” … “ t149” 150.9, the largest in a block of 2 × 2");
    await zoomIn(el);
    expect(model.sent).toMatchObject([{ type: "part", picture: 7, block: 1, hide_sink: false }]);
    expect(aside(el)).toContain("finer cells are being computed");
    expect(said(el)).toContain("the largest in a block of 2 × 2");
    await zoomIn(el);
    answer(model, { ...(model.sent[0] as object), number: 0 }, [() => 9]);
    await settled();
    expect(aside(el)).toContain("finer cells are being computed");
    answer(model, model.sent.at(-1) as object, [(row, col) => row - col / 1000]);
    await settled();
    expect(said(el)).toBe("“ t151” → “ t149” 150.9");
    expect(aside(el)).not.toContain("finer");
    expect(aside(el)).not.toContain("2 × 2");
  });

  it("leaves the first token out of larger cells as well", async () => {
    const { el, model } = await drawn(depth, { view: large(), measure: "rollout", reach: "rest", selection: { query: 0, key: 0 } });
    expect(said(el)).toContain("0.500, the largest in a block");
    await zoomIn(el);
    expect(model.sent).toMatchObject([{ hide_sink: true }]);
  });

  it("says in a saved page that finer cells need the kernel, and shows what it has", async () => {
    const { el, model } = await drawn(depth, { view: large(), measure: "rollout" }, { model: "m", date: "2026-01-31" });
    await zoomIn(el);
    expect(model.sent).toEqual([]);
    expect(aside(el)).toContain("finer cells need the kernel");
    expect(said(el)).toContain("the largest in a block of 2 × 2");
  });

  it("has both sides of a difference in each cell, and its sign", async () => {
    const { query_tokens: _, key_tokens: __, largest: ___, rest: ____, ...map } = large();
    const groups = Array.from({ length: 300 }, (_, at) => group(` t${at}`, "same", [at, at + 1], [at, at + 1]));
    const plane = (value: number) => wired(new Float32Array(150 * 150).fill(value), [150, 150]);
    const view = {
      ...{ ...map, data: plane(-0.5), first: plane(0.75), second: plane(0.25) },
      ...{ reference: "prompt", queries: groups, keys: groups, most: { query: 151, key: 149, change: -0.5 } },
    };
    const { el, model } = await drawn(difference, { view, reference: "prompt", selection: { query: 151, key: 149 } });
    expect(said(el)).toContain("−0.500 (the other prompt 0.750, this prompt 0.250), the largest difference in 2 × 2");
    expect(aside(el)).toContain("largest difference −0.500: “ t151” → “ t149”");
    await zoomIn(el);
    answer(model, model.sent[0] as object, [() => -0.125, () => 0.5, (row, col) => (row === 151 && col === 149 ? 0.375 : 0)]);
    await settled();
    expect(said(el)).toBe("“ t151” → “ t149” −0.125 (the other prompt 0.500, this prompt 0.375)");
  });

  it("names what several heads are shown as, and changes it", async () => {
    const view = { ...depthView([1, 0, 0, 0.4, 0.6, 0, 0.2, 0.3, 0.5], "norm"), heads: [1, 4], combine: "max" };
    const { el, model } = await drawn(depth, { view, measure: "norm", combine: "max", selection: { layer: 2, heads: [1, 4] } });
    expect(el.querySelector(".explorer-subtitle")?.textContent).toContain("layer 2 · largest of heads 1, 4");
    put(el.querySelector("[aria-label='What several heads are shown as']"), "mean", "change");
    expect(model.state["combine"]).toBe("mean");
    model.arrive("measure", "rollout");
    await settled();
    expect(el.querySelector("[aria-label='What several heads are shown as']")).toBeNull();
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
