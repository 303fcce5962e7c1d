import { afterEach, beforeEach, describe, expect, it } from "vitest";
import panel from "../src/attention-text";
import { blocksOf } from "../src/attention-text-blocks";
import { type WireLine, findTokens, joined, limitOf, readLine, readText, wantedOf } from "../src/attention-text-picture";
import { chips } from "../src/shared";
import { FakeModel, common, settled, token, tokensOf, wired } from "./fake-model";

const TEXTS = ["When", " <b>Mary</b>", " to"];
const SELECTION = { layer: 1, heads: [1], query: null, key: null, stack: null, kind: "attn" };

function line(changes: Partial<WireLine> = {}, weights = [0.25, 0.5, 0.125]): WireLine {
  const heads = changes.heads ?? [1];
  return {
    ...{ request: 1, layer: 1, heads, side: "query", index: 2 },
    weights: wired(Float32Array.from(weights), [heads.length, weights.length / heads.length]) as never,
    visible: wired(Uint8Array.of(1, 1, 1), [3]) as never,
    largest: wired(Float32Array.from({ length: (heads.length + 1) * 2 }, (_, at) => (at % 2 ? 0.5 : 0.9)), [heads.length + 1, 2]) as never,
    ...changes,
  };
}

function view(changes: object = {}): never {
  const tokens = tokensOf(...TEXTS);
  return { request: 1, tokens, notes: [], query_tokens: null, key_tokens: null, heads_per_layer: [2, 2], stack: "", kind: "attn", ...changes } as never;
}

let ends: AbortController;
let el: HTMLElement;
let around: FakeModel;

beforeEach(() => {
  ends = new AbortController();
  el = document.body.appendChild(document.createElement("div"));
});

afterEach(() => {
  ends.abort();
  el.remove();
});

async function mount(traits: Record<string, unknown> = {}, outer: Record<string, unknown> = {}): Promise<FakeModel> {
  around = new FakeModel(outer);
  const state = { ...common({ embedded: true, inside: true, around: "anywidget:outer" }), selection: SELECTION, line: line(), stacked: false };
  const model = new FakeModel({ ...state, view: view(), ...traits });
  const host = { getModel: async () => around, getWidget: async () => Promise.reject(new Error("none")) };
  await panel.render({ model, el, signal: ends.signal, host: host as never });
  await settled();
  return model;
}

const chip = (index: number): HTMLElement => el.querySelector(`[data-index="${index}"]`) as HTMLElement;
const said = (index: number): string => chip(index).getAttribute("aria-label") ?? "";
const press = (target: Element, key: string, more: object = {}): boolean =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));

async function search(text: string): Promise<HTMLInputElement> {
  const field = el.querySelector("input[type=search]") as HTMLInputElement;
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await settled();
  return field;
}

describe("the text", () => {
  it("has the weights of the token that is asked about, markup as text", async () => {
    const model = await mount();
    expect(said(1)).toContain("0.500");
    expect(chip(1).querySelector("bdi")?.textContent).toBe(TEXTS[1]);
    expect(chip(1).style.background).not.toBe(chip(2).style.background);
    chip(1).click();
    expect(model.state["selection"]).toMatchObject({ layer: 1, heads: [1], query: 1, key: null });
    await settled();
    expect(said(1)).toContain("…");
    model.arrive("line", line({ index: 1 }, [0.75, 0.25, 0]));
    await settled();
    expect(said(0)).toContain("0.750");
  });

  it("turns with the panel around it", async () => {
    const model = await mount({ selection: { ...SELECTION, query: 1 }, line: line({ index: 1 }) }, { direction: "attends" });
    around.arrive("direction", "attended");
    await settled();
    expect(el.textContent).toContain("is attended to by");
    expect(said(0)).toContain("…");
    model.arrive("line", line({ side: "key", index: 1, visible: wired(Uint8Array.of(0, 1, 1), [3]) as never }, [0, 0.5, 0.25]));
    await settled();
    expect([said(0), said(2)]).toEqual([expect.stringContaining("not seen"), expect.stringContaining("0.250")]);
    chip(2).click();
    expect(model.state["selection"]).toMatchObject({ query: null, key: 2 });
  });

  it("draws all heads as stripes, and says which gives most", async () => {
    const model = await mount();
    const button = [...el.querySelectorAll("button")].find((one) => one.textContent === "all 2 heads")!;
    button.click();
    expect(model.state["stacked"]).toBe(true);
    model.arrive("line", line({ heads: [0, 1] }, [0.25, 0.5, 0.125, 0.5, 0.25, 0]));
    await settled();
    expect([said(0), said(1)]).toEqual([expect.stringContaining("0.500, by head 1"), expect.stringContaining("0.500, by head 0")]);
    expect(chip(0).style.background).toContain("linear-gradient");
  });

  it("reads what a saved page carries where the weights are of another head", async () => {
    const floats = (...values: number[]): never => wired(Float32Array.from(values), [values.length]) as never;
    const places = { row_start: [0, 1, 2], col_start: [0, 1, 2], block: 1, causal: true, layers: [1], heads: 2, stack: "", kind: "attn" };
    const levels = wired(Uint8Array.of(255, 0, 0, 0, 0, 0, 255, 51, 102, 204, 0, 153), [12]);
    const seen = wired(Int32Array.of(0, 1, 0, 2, 0, 3), [6]);
    const carried = { ...places, levels, seen, scale: floats(1, 0.5), first: floats(...Array(6)), rest: floats(...Array(6)), sinks: [], error: 0 };
    await mount({ selection: { ...SELECTION, query: 1 } }, { carried });
    expect([said(0), said(1), said(2)].map((words) => words.split(", ").at(-1))).toEqual(["0.100", "0.400", "not seen"]);
  });

  it("shows two texts where one attends to the other, and chooses in either", async () => {
    const texts = { query_tokens: tokensOf("Les", " chats"), kind: "cross_attn" };
    const both = { ...texts, key_tokens: tokensOf(...TEXTS) };
    const model = await mount({ view: view(both), line: line({ index: 1 }) });
    const [asking, asked] = [...el.querySelectorAll(".explorer-tokens")] as [HTMLElement, HTMLElement];
    expect([asking.textContent, asked.textContent]).toEqual(["Les chats", TEXTS.join("")]);
    (asking.querySelector("[data-index='0']") as HTMLElement).click();
    expect(model.state["selection"]).toMatchObject({ query: 0, key: null });
    await settled();
    (asked.querySelector("[data-index='2']") as HTMLElement).click();
    expect(model.state["selection"]).toMatchObject({ query: 0, key: 2 });
  });

  it("is walked and chosen by keys, each weight said", async () => {
    const model = await mount();
    chip(0).focus();
    press(chip(0), "ArrowRight");
    await settled();
    expect(document.activeElement).toBe(chip(1));
    expect(el.querySelector("[role=tooltip]")?.textContent).toContain("0.500");
    press(chip(1), "End");
    await settled();
    expect(document.activeElement).toBe(chip(2));
    press(chip(2), "Enter");
    expect(model.state["selection"]).toMatchObject({ query: 2 });
    press(chip(2), "Escape");
    expect(model.state["selection"]).toMatchObject({ query: null });
  });

  it("finds with /, counts, and goes on and back", async () => {
    await mount();
    press(chip(0), "/");
    expect(document.activeElement).toBe(el.querySelector("input[type=search]"));
    const field = await search("M");
    expect(el.querySelector(".explorer-text-found")?.textContent).toBe("1 / 1");
    expect([...el.querySelectorAll(".is-found")]).toEqual([chip(1)]);
    await search("E");
    expect(el.querySelector(".explorer-text-found")?.textContent).toBe("1 / 1");
    press(field, "Enter");
    await search("nothing");
    expect(el.querySelector(".explorer-text-found")?.textContent).toBe("not found");
  });

  it("has its numbers as a table", async () => {
    await mount();
    const numbers = el.querySelector("details") as HTMLDetailsElement;
    numbers.open = true;
    numbers.dispatchEvent(new Event("toggle"));
    await settled();
    expect([...numbers.querySelectorAll("td")].map((cell) => cell.textContent)).toEqual(["0.250", "0.500", "0.125"]);
  });

  it("says what does not fit together", async () => {
    await mount({ line: line({}, [0.25, 0.5]) });
    expect(el.querySelector(".explorer-fault")?.textContent).toContain("weights cannot be read");
  });
});

describe("what the strongest colour means", () => {
  const read = readLine(line({ heads: [0, 1] }, [0.25, 0.5, 0.125, 0.5, 0.25, 0]), readText(view()))!;
  it("is one, the largest of the map or of the row, without the first token where it is hidden", () => {
    const limit = (reach: "one" | "map" | "row", hideFirst: boolean): number =>
      Number(limitOf(read, read.weights, { reach, hideFirst, heads: "each" }).toFixed(3));
    expect([limit("one", false), limit("map", false), limit("row", false)]).toEqual([1, 0.9, 0.5]);
    expect([limit("one", true), limit("map", true), limit("row", true)]).toEqual([0.5, 0.5, 0.5]);
  });
});

describe("what is asked", () => {
  const picture = readText(view());
  it("is the chosen token, the last without one; turned, the same token", () => {
    const index = (selection: object, attends: boolean): number => wantedOf(picture, { ...SELECTION, ...selection }, attends, false).index;
    expect([index({}, true), index({ query: 1 }, true), index({ query: 9 }, true)]).toEqual([2, 1, 2]);
    expect([index({ query: 1 }, false), index({ query: 1, key: 0 }, false)]).toEqual([1, 0]);
  });
});

describe("finding", () => {
  it("goes across tokens, whatever their case", () => {
    const tokens = tokensOf("The", " cat", " sat", " on the", " mat");
    expect(findTokens(tokens, "CAT S")).toEqual([[1, 2]]);
    expect(findTokens(tokens, "the")).toEqual([[0, 0], [3, 3]]);
    expect(findTokens(tokens, "at")).toEqual([[1, 1], [2, 2], [4, 4]]);
    expect(findTokens(tokens, "")).toEqual([]);
  });

  it("finds all pieces of a character, and markup as it is written", () => {
    const pieces = [1, 2, 3].map((part) => token("猫", { part, parts: 3 }));
    const tokens = [token("a"), ...pieces, token("<b>"), token("👩‍👧")];
    expect(findTokens(tokens, "猫")).toEqual([[1, 3]]);
    expect(findTokens(tokens, "a猫<")).toEqual([[0, 4]]);
    expect(findTokens(tokens, "👩‍👧")).toEqual([[5, 5]]);
  });
});

describe("several heads", () => {
  it("are their mean or their largest weight", () => {
    const weights = Float32Array.from([0.5, 0, 0.25, 1]);
    expect([...joined(weights, 2, false)]).toEqual([0.375, 0.5]);
    expect([...joined(weights, 2, true)]).toEqual([0.5, 1]);
  });
});

describe("blocks", () => {
  const long = (word: (index: number) => string): string[] => Array.from({ length: 1000 }, (_, index) => word(index));
  it("hold every token once, and leave a short text whole", () => {
    expect(blocksOf(chips(tokensOf(...long((at) => ` w${at}`).slice(0, 400)))).length).toBe(1);
    const blocks = blocksOf(chips(tokensOf(...long((at) => ` w${at}`))));
    expect(blocks.map(({ chips }) => chips.length)).toEqual([...Array(7).fill(128), 104]);
    expect(blocks.map(({ first, last }) => [first, last]).flat().slice(0, 4)).toEqual([0, 127, 128, 255]);
  });

  it("end where a line, a sentence or a word does", () => {
    const firsts = (word: (index: number) => string): number[] => blocksOf(chips(tokensOf(...long(word)))).map(({ first }) => first);
    expect(firsts((at) => (at % 50 === 49 ? "⏎" : at % 60 === 59 ? "." : " a"))[1]).toBe(100);
    expect(firsts((at) => (at % 60 === 59 ? "." : " a"))[1]).toBe(120);
    expect(firsts((at) => (at % 50 === 0 ? " a" : "b"))[1]).toBe(100);
  });
});
