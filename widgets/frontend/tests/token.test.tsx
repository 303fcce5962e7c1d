import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { blankMarks } from "../src/shared";
import panel from "../src/token";
import { agrees, readTokenView, type TokenView, windowOf } from "../src/token-picture";
import { FakeModel, common, token, tokensOf, wired } from "./fake-model";

const HOSTILE = "</script><img src=x onerror=alert(1)>";

function view(changes: Partial<TokenView> = {}): TokenView {
  const tokens = [token("<s>", { id: 1, kind: "special" }), ...tokensOf("a", " ", HOSTILE).map((t, i) => ({ ...t, group: i + 1 }))];
  return {
    request: 1,
    tokens,
    notes: [],
    warnings: [{ key: "hidden_characters", about: { names: ["⟨U+202E⟩"], more: 0 }, text: "Cannot be seen: ⟨U+202E⟩." }],
    remarks: [],
    counts: { tokens: 4, special: 1, characters: 8, words: 2 },
    bytes: ["", "61", "20", "3C"],
    begin: wired(Int32Array.of(-1, 0, 1, 2), [4]),
    end: wired(Int32Array.of(-1, 1, 2, 8), [4]),
    character: wired(Int32Array.of(0, 1, 2, 3), [4]),
    word: wired(Int32Array.of(0, 1, 2, 2), [4]),
    adds: ["<s>"],
    names: ["<s>", "</s>"],
    context: 100,
    other: null,
    ...changes,
  } as TokenView;
}

const traits = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...common({ title: "", text: "a" }),
  special_tokens: true,
  chosen: null,
  view: view(),
  ...changes,
});

let stop: AbortController;
let el: HTMLElement;
const settled = async (): Promise<void> => {
  await new Promise((done) => setTimeout(done, 30));
};

async function mount(state: Record<string, unknown> = traits()): Promise<FakeModel> {
  const model = new FakeModel(state);
  panel.render({ model, el, signal: stop.signal });
  await settled();
  return model;
}

const cells = (row: number): string[] =>
  [...el.querySelectorAll(`[data-row="${row}"] [role=cell]`)].map((cell) => cell.textContent ?? "");

beforeEach(() => {
  stop = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  stop.abort();
  el.remove();
});

describe("the token panel", () => {
  it("says of each token what it is, and where it stands", async () => {
    await mount();
    expect(cells(0)).toEqual(["0", "1", "<s>", "–", "special", "", "0", "0", "added"]);
    expect(cells(1)).toEqual(["1", "100", "a", "61", "text", "", "1", "1", "0–1"]);
    expect(cells(3)[2]).toBe(HOSTILE);
    expect(el.querySelector("img")).toBeNull();
    expect(el.querySelector(".explorer-token-notes .is-warning")?.textContent).toContain("Cannot be seen");
    expect(el.querySelector(".explorer-token-facts")?.textContent).toContain("4 of 100 tokens");
    expect(el.querySelector(".explorer-token-facts")?.textContent).toContain("2 words, 2.00 tokens each");
  });

  it("speaks Chinese", async () => {
    await mount(traits({ language: "zh" }));
    expect(el.querySelector(".explorer-token-table .is-head")?.textContent).toContain("字节");
    expect(el.querySelector(".explorer-token-notes")?.textContent).toContain("不可见字符：⟨U+202E⟩");
    expect(el.querySelector(".explorer-token-switch")?.textContent).toContain("此分词器会添加 <s>");
  });

  it("makes white space visible without changing the text", async () => {
    await mount();
    const blank = el.querySelector<HTMLElement>(".explorer-tokens .is-space");
    expect(blank?.textContent).toBe(" ");
    expect(blank?.dataset["marks"]).toBe("␣");
    expect(blankMarks("  \u00a0")).toBe("␣␣⍽");
    expect(blankMarks(" a")).toBeNull();
  });

  it("switches special tokens, and not where there are none or no tokenizer", async () => {
    const model = await mount();
    const box = (): HTMLInputElement => el.querySelector<HTMLInputElement>(".explorer-token-switch input")!;
    expect(box().checked).toBe(true);
    box().click();
    await settled();
    expect(model.state["special_tokens"]).toBe(false);
    for (const adds of [[], null]) {
      model.arrive("view", view({ adds }));
      await settled();
      expect(box().disabled).toBe(true);
    }
    expect(el.textContent).toContain("as saved; the tokenizer is not here");
  });

  it("reads names of special tokens as plain text where asked", async () => {
    const model = await mount();
    const box = (): HTMLInputElement => el.querySelectorAll<HTMLInputElement>(".explorer-token-switch input")[1]!;
    expect(box().closest("label")?.textContent).toContain("such as <s> </s>");
    expect(box().checked).toBe(false);
    box().click();
    await settled();
    expect(model.state["literal"]).toBe(true);
    for (const names of [[], null]) {
      model.arrive("view", view({ names }));
      await settled();
      expect(box().disabled).toBe(true);
    }
    expect(el.textContent).toContain("as saved; the tokenizer is not here");
  });

  it("chooses a token in the row and in the table alike", async () => {
    const model = await mount();
    el.querySelector<HTMLElement>('[data-row="3"]')!.click();
    await settled();
    expect(model.state["chosen"]).toBe(3);
    expect(el.querySelector(".explorer-tokens .is-selected")?.getAttribute("data-index")).toBe("3");
    el.querySelector<HTMLElement>('.explorer-tokens [data-index="1"]')!.click();
    await settled();
    expect(model.state["chosen"]).toBe(1);
    expect(el.querySelector(".explorer-token-row.is-chosen")?.getAttribute("data-row")).toBe("1");
  });

  it("draws only the rows in sight of a long prompt", async () => {
    const many = 4096;
    const column = wired(Int32Array.from({ length: many }, (_, i) => i), [many]);
    const long = view({
      tokens: tokensOf(...Array.from({ length: many }, () => " x")),
      bytes: Array.from({ length: many }, () => "20 78"),
      begin: column,
      end: column,
      character: column,
      word: column,
    });
    await mount(traits({ view: long }));
    const rows = el.querySelectorAll("[data-row]");
    expect(rows.length).toBeGreaterThan(10);
    expect(rows.length).toBeLessThan(40);
    expect(el.querySelector("[role=table]")?.getAttribute("aria-rowcount")).toBe("4097");
  });

  it("sets two tokenizers side by side", async () => {
    const other = {
      name: "other",
      tokens: tokensOf("a", " </script>", "<img src=x onerror=alert(1)>"),
      counts: { tokens: 3, special: 0, characters: 8, words: 2 },
      groups: wired(Int32Array.of(0, 1, 0, 0, 1, 2, 0, 1, 2, 4, 1, 3), [3, 4]),
      refused: "",
    };
    await mount(traits({ view: view({ other }) }));
    const pairs = [...el.querySelectorAll(".explorer-token-pair")];
    expect(pairs.map((pair) => pair.classList.contains("is-different"))).toEqual([true, false, true]);
    expect(pairs[0]?.textContent).toBe("<s>∅");
    expect(el.querySelector(".explorer-token-compare")?.textContent).toContain("1 of 3 groups are one token in both");
  });

  it("names who speaks in a conversation", async () => {
    const tokens = view().tokens.map((one, i) => ({ ...one, role: ["template", "user", "user", "assistant"][i]! }));
    await mount(traits({ view: view({ tokens }) }));
    expect([...el.querySelectorAll(".explorer-role")].map((role) => role.textContent)).toEqual(["user", "assistant"]);
    expect(cells(3)[9]).toBe("assistant");
  });
});

describe("what is read from Python", () => {
  it("refuses columns that do not fit the tokens", () => {
    expect(() => readTokenView(view({ begin: wired(Int32Array.of(0), [1]) }))).toThrow("view.begin has 1 rows for 4 tokens");
    expect(() => readTokenView(view({ bytes: [] }))).toThrow("one entry a token");
  });

  it("draws what is scrolled to and little more", () => {
    expect(windowOf(0, 240, 24, 4096)).toEqual([0, 16]);
    expect(windowOf(2400, 240, 24, 4096)).toEqual([94, 116]);
    expect(windowOf(90_000, 240, 24, 100)).toEqual([94, 100]);
    expect(windowOf(0, 240, 24, 0)).toEqual([0, 0]);
  });

  it("agrees where both cut out one token", () => {
    expect(agrees({ a: [0, 1], b: [0, 1] })).toBe(true);
    expect(agrees({ a: [0, 1], b: [0, 2] })).toBe(false);
  });
});
