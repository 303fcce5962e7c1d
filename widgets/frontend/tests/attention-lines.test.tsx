import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import panel from "../src/attention-lines";
import { headColor, headDash } from "../src/attention-lines-drawing";
import {
  type LinesView,
  chosenLines,
  placeOf,
  readLines,
  rowOf,
  strokes,
  thresholdAt,
  usualThreshold,
} from "../src/attention-lines-picture";
import { FakeModel, common, settled, tokensOf, wired } from "./fake-model";

const TEXTS = ["When", " <b>Mary</b>", " to"];

/** Two heads over three tokens: head 4 of the layer looks at the token before, head 7 mostly at the first. */
function linesView(changes: Partial<LinesView> = {}): LinesView {
  const ints = (...values: number[]): never => wired(Int32Array.from(values), [values.length]) as never;
  return {
    request: 1,
    tokens: tokensOf(...TEXTS),
    notes: [],
    query_tokens: null,
    key_tokens: null,
    layer: 2,
    heads: [4, 7],
    chosen: 2,
    of: 9,
    head: ints(0, 1, 0),
    query: ints(2, 1, 1),
    key: ints(1, 1, 1),
    weight: wired(Float32Array.of(0.75, 0.5, 0.25), [3]) as never,
    first: wired(Float32Array.of(1, 0.75, 0.125, 1, 0.5, NaN), [2, 3]) as never,
    seen: wired(Int32Array.of(0, 1, 0, 2, 0, 3), [3, 2]) as never,
    floor: 0,
    left_out: 0,
    not_numbers: 1,
    ...changes,
  };
}

const picture = readLines(linesView());
const every = { place: null, shown: [true, true], threshold: 0, hideFirst: false };

describe("lines", () => {
  it("are all weights, largest first and what is no number last", () => {
    const { weight, query, key, head } = chosenLines(picture, every);
    expect([...weight]).toEqual([1, 1, 0.75, 0.75, 0.5, 0.5, 0.25, 0.125, NaN]);
    expect([query[8], key[8], head[8]]).toEqual([2, 0, 1]);
  });

  it("are those of one token, of the heads that are shown, and above the threshold", () => {
    const of = (wanted: object): number[] => [...chosenLines(picture, { ...every, ...wanted }).weight];
    expect(of({ place: { side: "query", index: 1 } })).toEqual([0.75, 0.5, 0.5, 0.25]);
    expect(of({ place: { side: "key", index: 1 } })).toEqual([0.75, 0.5, 0.25]);
    expect(of({ shown: [true, false] })).toEqual([1, 0.75, 0.75, 0.25, 0.125]);
    expect(of({ threshold: 0.5 })).toEqual([1, 1, 0.75, 0.75, 0.5, 0.5, NaN]);
    expect(of({ hideFirst: true })).toEqual([0.75, 0.5, 0.25]);
  });

  it("give each token's weights head by head, and say which are not there", () => {
    expect(rowOf(picture, { side: "query", index: 2 }, {}).weights).toEqual([
      [0.125, 0.75, 0],
      [NaN, 0, 0],
    ]);
    const cut = readLines(linesView({ floor: 0.2, left_out: 3 }));
    expect(rowOf(cut, { side: "key", index: 1 }, {}).weights[1]).toEqual([null, 0.5, null]);
    const weights = wired(Float32Array.of(0, 0.25, 0.75, 0, 0.5, 0.0625), [2, 3]);
    const asked = { request: 1, side: "key", index: 1, weights } as const;
    expect(rowOf(cut, { side: "key", index: 1 }, asked).weights).toEqual([
      [0, 0.25, 0.75],
      [0, 0.5, 0.0625],
    ]);
    expect([...chosenLines(cut, { ...every, place: { side: "key", index: 1 } }, asked).weight]).toEqual([
      0.75, 0.5, 0.25, 0.0625,
    ]);
    // What was asked of an earlier picture says nothing of this one.
    expect(rowOf(cut, { side: "key", index: 1 }, { ...asked, request: 0 }).weights[1]).toEqual([null, 0.5, null]);
  });

  it("begin with a threshold that leaves about a line a token, and never less than what is there", () => {
    expect(usualThreshold(picture, [true, true], false)).toBe(0.05);
    const faint = linesView({ weight: wired(Float32Array.of(0.03, 0.02, 0.01), [3]) as never });
    expect(usualThreshold(readLines(faint), [true, true], true)).toBeCloseTo(0.01);
    expect(usualThreshold(readLines({ ...faint, floor: 0.015 }), [true, true], true)).toBeCloseTo(0.015);
  });

  it("have a slider that goes the same way for each ten times, and back", () => {
    for (const weight of [0.001, 0.05, 0.3, 1]) expect(thresholdAt(placeOf(weight), 0)).toBeCloseTo(weight);
    expect([thresholdAt(0, 0), thresholdAt(0.1, 0.02)]).toEqual([0, 0.02]);
  });

  it("are drawn where they cross what is in sight, the strongest last, the heads side by side", () => {
    const seen = { rowHeight: 20, top: 40, height: 20, heads: 2 };
    const found = strokes(chosenLines(picture, every), seen, 100);
    expect(found.every(({ from, to }) => Math.max(from, to) >= 0 && Math.min(from, to) <= 20)).toBe(true);
    expect(found.map(({ weight }) => weight)).toEqual([NaN, 0.125, 0.75]);
    expect(found[2]).toEqual({ from: 8, to: -12, head: 0, weight: 0.75 });
    expect(strokes(chosenLines(picture, every), { ...seen, top: 0, height: 60 }, 2).map(({ weight }) => weight)).toEqual([1, 1]);
  });

  it("differ by colour or dashes for as many heads as are drawn", () => {
    for (const dark of [true, false]) {
      const looks = Array.from({ length: 12 }, (_, place) => headColor(place, dark) + String(headDash(place)));
      expect(new Set(looks).size).toBe(12);
    }
  });

  it.each([
    ["weight", { weight: wired(Float32Array.of(1), [1]) as never }],
    ["seen", { seen: wired(Int32Array.of(0, 1), [1, 2]) as never }],
  ])("that do not fit together are refused: %s", (_name, changes) => {
    expect(() => readLines(linesView(changes))).toThrow("view.");
  });
});

let view: AbortController;
let el: HTMLElement;

/** A host that gives the panel around, whose `hide_sink` the view follows. */
async function mount(changes: Record<string, unknown> = {}): Promise<{ model: FakeModel; outer: FakeModel }> {
  const outer = new FakeModel({ hide_sink: false });
  const model = new FakeModel({
    ...common({ text: TEXTS.join(""), embedded: true }),
    ...{ view: linesView(), asked: {}, threshold: null, inside: true, around: "anywidget:outer" },
    selection: { layer: 2, heads: [4, 7], query: null, key: null, stack: null, kind: "attn" },
    ...changes,
  });
  const host = { getModel: async () => outer, getWidget: async () => ({ render: () => undefined }) };
  await panel.render({ model, el, signal: view.signal, host: host as never });
  await settled();
  return { model, outer };
}

const column = (side: string): HTMLElement => el.querySelector(`.is-${side}`) as HTMLElement;
const tokenAt = (side: string, index: number): HTMLElement =>
  column(side).querySelector(`[data-index="${index}"]`) as HTMLElement;
const said = (): string => (el.querySelector(".explorer-lines-said")?.textContent ?? "").replace(/\s+/g, " ");

function press(side: string, key: string): void {
  column(side).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

beforeAll(() => {
  Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 640 });
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

describe("the view", () => {
  it("shows tokens as text, never as markup, and a button for each head", async () => {
    await mount();
    expect(el.querySelector("b")).toBeNull();
    expect(tokenAt("query", 1).textContent).toBe(" <b>Mary</b>");
    const heads = [...el.querySelectorAll(".explorer-lines-heads button")].map((one) => one.textContent?.trim());
    expect(heads).toEqual(["head 4", "head 7", "all 9 heads"]);
    expect(el.querySelector(".explorer-aside")?.textContent).toBe("1 weight is not a number: dotted");
  });

  it("pins a token with a click, chooses a pair with a second one, and lets go", async () => {
    const { model } = await mount();
    tokenAt("query", 2).click();
    await settled();
    expect(model.saves.at(-1)).toMatchObject({ selection: { query: 2, key: null, heads: [4, 7] } });
    expect(said()).toContain("“ to” attends to“ <b>Mary</b>” head 4: 0.750");
    tokenAt("key", 1).click();
    await settled();
    expect(model.saves.at(-1)).toMatchObject({ selection: { query: 2, key: 1 } });
    expect(said()).toBe("“ to” attends to “ <b>Mary</b>”head 4: 0.750head 7: 0.000");
    tokenAt("query", 2).click();
    await settled();
    expect(model.saves.at(-1)).toMatchObject({ selection: { query: null, key: null } });
  });

  it("is walked by the keyboard, which says each pair's weights", async () => {
    const { model } = await mount();
    column("key").focus();
    press("key", "End");
    press("key", "ArrowUp");
    press("key", "Enter");
    await settled();
    expect(model.saves.at(-1)).toMatchObject({ selection: { query: null, key: 1 } });
    expect(tokenAt("query", 2).getAttribute("aria-label")).toBe("token 2, “ to”, head 4: 0.750, head 7: 0.000");
    expect(tokenAt("query", 0).getAttribute("aria-label")).toBe("token 0, “When”, not seen");
    press("key", "Escape");
    await settled();
    expect(model.saves.at(-1)).toMatchObject({ selection: { query: null, key: null } });
  });

  it("hides a head's lines, and the first token's with the panel around", async () => {
    const { outer } = await mount({ threshold: 0 });
    const lines = (): string => el.querySelectorAll(".explorer-lines-heading > span")[1]?.textContent ?? "";
    expect(lines()).toBe("9 lines");
    (el.querySelector(".explorer-lines-heads button") as HTMLElement).click();
    await settled();
    expect(lines()).toBe("4 lines");
    outer.arrive("hide_sink", true);
    await settled();
    expect(lines()).toBe("1 line");
    view.abort();
    expect(outer.listening).toBe(0);
  });

  it("follows the position that is looked at in another panel", async () => {
    const { model } = await mount();
    model.arrive("hover", 2);
    await settled();
    expect(said()).toContain("“ to” attends to");
  });
});
