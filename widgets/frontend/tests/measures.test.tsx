import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import panel from "../src/attention-measures";
import { byLayer, inOrder } from "../src/attention-places";
import { USUAL, ranked, rangeOf, readMeasures, shortName } from "../src/attention-ranked";
import type { Picture } from "../src/attention-state";
import { FakeModel, common, settled, tokensOf, wired } from "./fake-model";

// Two layers, of three heads and of two: the last place of the second layer is empty.
const PREVIOUS = [0.5, 0.9, 0.1, 0.5, 0.7, NaN];
const PROBE = [0.2, NaN, NaN, 0.4, 0.1, NaN];

function view(): Record<string, unknown> {
  const values = Float32Array.from([...PREVIOUS, ...PROBE.map(() => NaN), ...PROBE]);
  return {
    request: 1,
    tokens: tokensOf("a", " b"),
    notes: [],
    measures: ["previous", "induction", "probe_induction"],
    values: wired(values, [3, 2, 3]),
    layers: 2,
    heads_per_layer: [3, 2],
    rows: 12,
    all_rows: 12,
    texts: 4,
    probe: { state: "ready", why: "", edited: true },
  };
}

const measured = () => readMeasures(view() as never);
const names = (order: Partial<typeof USUAL>): string[] => ranked(measured(), { ...USUAL, ...order }).map(shortName);

describe("the order", () => {
  it("is by value, equal ones by layer and head, and leaves out what has none", () => {
    expect(names({})).toEqual(["0.1", "1.1", "0.0", "1.0", "0.2"]);
    expect(names({ ascending: true })).toEqual(["0.2", "0.0", "1.0", "1.1", "0.1"]);
    expect(names({ measure: "probe_induction" })).toEqual(["1.0", "0.0", "1.1"]);
  });

  it("keeps what is large enough, as many as are asked for", () => {
    expect(names({ least: 0.7 })).toEqual(["0.1", "1.1"]);
    expect(names({ count: 1 })).toEqual(["0.1"]);
    expect(names({ least: 0.95 })).toEqual([]);
    expect(rangeOf(measured(), "induction")).toBeNull();
  });

  it("refuses values that do not fit their names", () => {
    expect(() => readMeasures({ ...view(), measures: ["previous"] } as never)).toThrow(/3 x 2 x 3/);
  });
});

describe("the places of thumbnails", () => {
  const picture = { layers: 2, heads: 3, headsPerLayer: [3, 2] } as Picture;

  it("are columns of layers, where a step ends at the last head", () => {
    const places = byLayer(picture, 640, 1);
    expect(places.heads).toHaveLength(5);
    expect(places.headAt({ row: 2, col: 1 })).toBeNull();
    expect(places.nearest({ row: 2, col: 1 })).toEqual([1, 1]);
  });

  it("follow each other in an order, row after row, and are found again", () => {
    const listed = Array.from({ length: 20 }, (_, at) => [at, 1] as const);
    const places = inOrder(listed, 400, 1);
    const { cols, rows } = places.lattice;
    expect([cols, rows]).toEqual([10, 2]);
    expect(places.cellOf(13, 1)).toEqual({ row: 1, col: 3 });
    expect(places.cellOf(13, 0)).toBeNull();
    expect(places.headAt({ row: 1, col: 3 })).toEqual([13, 1]);
    expect(inOrder(listed.slice(0, 12), 400, 1).nearest({ row: 1, col: 9 })).toEqual([11, 1]);
    expect(inOrder([], 400, 1).nearest({ row: 0, col: 0 })).toBeNull();
  });
});

describe("the view", () => {
  let scope: AbortController;
  let el: HTMLElement;

  beforeAll(() => {
    Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 640 });
  });
  beforeEach(() => {
    scope = new AbortController();
    el = document.createElement("div");
    document.body.append(el);
  });
  afterEach(() => {
    scope.abort();
    document.body.replaceChildren();
  });

  async function mount(more: Record<string, unknown> = {}): Promise<FakeModel> {
    const selection = { layer: 0, heads: [1], query: null, key: null, stack: null, kind: "attn" };
    const model = new FakeModel({ ...common({}), view: view(), selection, order: USUAL, like: {}, alike: {}, ...more });
    panel.render({ model, el, signal: scope.signal });
    await settled();
    return model;
  }
  const rows = (): string[] => [...el.querySelectorAll("tbody th")].map((one) => one.textContent ?? "");
  const said = (): string => el.querySelector(".explorer-measures-kept")?.textContent ?? "";
  const map = (): HTMLElement => el.querySelector(".explorer-measures-map") as HTMLElement;

  it("lists all heads by the measure, and a click on a column sorts by it", async () => {
    const model = await mount();
    expect(rows()).toEqual(["0.1", "1.1", "0.0", "1.0", "0.2"]);
    const [, , probe] = el.querySelectorAll<HTMLElement>("thead button");
    probe?.click();
    await settled();
    expect(model.saves[0]).toEqual({ order: { ...USUAL, measure: "probe_induction" } });
    expect(el.querySelector("thead [aria-sort=descending]")?.textContent).toContain("induction, probe");
    expect(rows()).toEqual(["0.1", "1.0", "0.0", "1.1"]); // the chosen head stays in sight, though it has no value
  });

  it("chooses the head of a row, and walks the map by arrows", async () => {
    const model = await mount();
    el.querySelector<HTMLElement>("tbody tr:nth-child(2) button")?.click();
    expect(model.saves[0]).toMatchObject({ selection: { layer: 1, heads: [1], kind: "attn" } });
    await settled();
    expect(map().querySelector("[role=gridcell]")?.textContent).toBe("layer 1 · head 1: previous token 0.700");
    map().dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true, cancelable: true }));
    expect(model.saves[1]).toMatchObject({ selection: { layer: 0, heads: [1] } });
  });

  it("says in words that no head is left, and why", async () => {
    await mount({ order: { ...USUAL, least: 0.95 } });
    expect(said()).toBe("No head has a value of at least 0.950 for previous token; the largest is 0.900.");
    expect(map().querySelectorAll(".explorer-measures-left")).toHaveLength(5);
  });

  it("hatches heads without a value, and says why there is none", async () => {
    await mount({ order: { ...USUAL, measure: "induction" } });
    expect(said()).toContain("No token of this prompt repeats itself");
    expect(map().querySelectorAll(".explorer-measures-empty")).toHaveLength(5);
  });

  it("shows the definition and the source of the measure", async () => {
    await mount({ order: { ...USUAL, measure: "probe_induction" } });
    expect(el.querySelector(".explorer-measures-meaning")?.textContent).toContain("Olsson et al. 2022");
    expect(el.querySelector(".explorer-aside")?.textContent).toBe("mean over 4 texts of random tokens, each said twice");
  });

  it("takes a bound when it is a number, and none when it is not", async () => {
    const model = await mount();
    const [least, count] = el.querySelectorAll<HTMLInputElement>(".explorer-measures-field");
    const type = (field: HTMLInputElement | undefined, text: string): void => {
      if (field === undefined) return;
      field.value = text;
      field.dispatchEvent(new InputEvent("input", { bubbles: true }));
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    };
    type(count, "1.5");
    await settled();
    expect([model.saves, count?.getAttribute("aria-invalid")]).toEqual([[], "true"]);
    type(least, "0.6");
    await settled();
    expect(model.saves[0]).toEqual({ order: { ...USUAL, least: 0.6 } });
    expect(said()).toBe("2 of 5 heads");
  });

  it("asks for heads like the chosen one and lists them", async () => {
    const model = await mount();
    const [first] = el.querySelectorAll<HTMLElement>(".explorer-measures-alike .explorer-button");
    first?.click();
    expect(model.saves[0]).toEqual({ like: { layer: 0, head: 1, by: "weights" } });
    const heads = wired(Int32Array.of(1, 1, 0, 2), [2, 2]);
    model.arrive("alike", { layer: 0, head: 1, by: "weights", heads, distances: wired(Float32Array.of(0.1, 0.25), [2]) });
    await settled();
    const found = [...el.querySelectorAll<HTMLElement>(".explorer-measures-alike li button")];
    expect(found.map((one) => one.textContent)).toEqual(["1.1 0.100", "0.2 0.250"]);
    found[1]?.click();
    expect(model.saves[1]).toMatchObject({ selection: { layer: 0, heads: [2] } });
  });
});
