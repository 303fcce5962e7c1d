import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EchoRule, Panel, mountPanel, wellFormed } from "../src/shared";
import { FakeModel, common, settled } from "./fake-model";

const view = { abort: new AbortController() };
let model: FakeModel;
let field: HTMLTextAreaElement;

beforeEach(() => {
  view.abort = new AbortController();
  model = new FakeModel({ ...common({ text: "start" }) });
  const el = document.createElement("div");
  document.body.append(el);
  const Bare = () => (
    <Panel name="bare" title="Test" tokens={[]} ready>
      picture
    </Panel>
  );
  mountPanel(Bare).render({ model, el, signal: view.abort.signal });
  field = el.querySelector("textarea") as HTMLTextAreaElement;
});

afterEach(() => {
  view.abort.abort();
  document.body.replaceChildren();
});

function type(text: string): void {
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

describe("the prompt", () => {
  it("shows the text and sends every change at once", () => {
    expect(field.value).toBe("start");
    type("starts");
    expect(model.saves).toEqual([{ text: "starts" }]);
  });

  it("keeps what the person types when an older echo arrives", async () => {
    field.focus();
    type("a");
    type("ab");
    type("abc");
    model.arrive("text", "a");
    model.arrive("text", "ab");
    await settled();
    expect(field.value).toBe("abc");
  });

  it("takes a text that Python set, focused or not", async () => {
    field.focus();
    type("a");
    model.arrive("text", "from Python");
    await settled();
    expect(field.value).toBe("from Python");
    field.blur();
    model.arrive("text", "a");
    await settled();
    expect(field.value).toBe("a");
  });

  it("leaves a composition alone and sends it as it grows", async () => {
    field.focus();
    field.dispatchEvent(new Event("compositionstart"));
    type("ni");
    model.arrive("text", "from Python");
    await settled();
    expect(field.value).toBe("ni");
    field.value = "你";
    field.dispatchEvent(new Event("compositionend"));
    expect(model.saves.map((save) => save["text"])).toEqual(["ni", "你"]);
  });

  it("replaces lone surrogates on the way out, and says so", async () => {
    type("a\ud83e");
    await settled();
    expect(model.saves).toEqual([{ text: "a\ufffd" }]);
    expect(document.querySelector(".explorer-warning")?.textContent).toContain("stands alone");
    type("a\ud83e\udd80");
    await settled();
    expect(model.saves[1]).toEqual({ text: "a🦀" });
    expect(document.querySelector(".explorer-warning")).toBeNull();
  });

  it("does not send ten million characters", async () => {
    type("x".repeat(10_000_000));
    await settled();
    expect(model.saves).toEqual([]);
    expect(document.querySelector(".explorer-warning")?.textContent).toContain("10,000,000 characters");
  });

  it("has a second field for a decoder's text, where the model has a decoder", async () => {
    expect(document.querySelectorAll("textarea")).toHaveLength(1);
    model.arrive("decoder", "so far");
    await settled();
    const [, second] = document.querySelectorAll("textarea");
    expect((second as HTMLTextAreaElement).labels?.[0]?.textContent).toBe("Decoder's text");
    expect(second!.value).toBe("so far");
    second!.value = "so far so";
    second!.dispatchEvent(new Event("input", { bubbles: true }));
    expect(model.saves).toEqual([{ decoder: "so far so" }]);
    expect(field.value).toBe("start");
  });

  it("lets no key reach the notebook", () => {
    let reached = 0;
    const count = (): void => void (reached += 1);
    document.addEventListener("keydown", count);
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "x", bubbles: true }));
    document.removeEventListener("keydown", count);
    expect(reached).toBe(0);
    expect(field.closest("[data-lm-suppress-shortcuts=true]")).not.toBeNull();
  });
});

it("decides between typing and echo", () => {
  const rule = new EchoRule();
  rule.enter("old");
  rule.send("new");
  expect(["old", "new", "other"].map((text) => rule.accepts(text, true))).toEqual([false, false, true]);
  expect(rule.accepts("old", false)).toBe(true);
  rule.enter("third");
  expect(rule.accepts("new", true)).toBe(true);
});

it("makes text well formed", () => {
  expect(wellFormed("a\ud800b\udc00\ud83e\udd80")).toBe("a\ufffdb\ufffd🦀");
});
