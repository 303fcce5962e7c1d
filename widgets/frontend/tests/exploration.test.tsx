import { afterEach, describe, expect, it, vi } from "vitest";
import { type CommonState, Panel, mountPanel, useModel } from "../src/shared";
import { FakeModel, common, settled, tokensOf } from "./fake-model";

let view = new AbortController();

afterEach(() => {
  view.abort();
  view = new AbortController();
  document.body.replaceChildren();
  vi.useRealTimers();
});

function place(): HTMLElement {
  const el = document.createElement("div");
  document.body.append(el);
  return el;
}

const Bare = () => {
  const model = useModel<CommonState>();
  return (
    <Panel name="bare" title="Test" tokens={model.trait("view").value.tokens ?? []} ready>
      picture
    </Panel>
  );
};

/** Two panels that hold one exploration, as a page shows them. */
async function linked(): Promise<{ exploration: FakeModel; panels: FakeModel[]; places: HTMLElement[] }> {
  const exploration = new FakeModel({ ...common({ text: "one two" }) });
  const host = {
    getModel: (reference: string) =>
      reference === "anywidget:shared" ? Promise.resolve(exploration) : Promise.reject(new Error(reference)),
    getWidget: () => Promise.reject(new Error("none")),
  };
  const panels: FakeModel[] = [];
  const places: HTMLElement[] = [];
  for (const text of ["old", "older"]) {
    const tokens = tokensOf("one", " two");
    const model = new FakeModel({
      ...common({ text, view: { request: 1, tokens, notes: [] } }),
      exploration: "anywidget:shared",
    });
    const el = place();
    await mountPanel(Bare).render({ model, el, signal: view.signal, host });
    panels.push(model);
    places.push(el);
  }
  await settled();
  return { exploration, panels, places };
}

function field(el: HTMLElement): HTMLTextAreaElement {
  return el.querySelector("textarea")!;
}

describe("panels of one exploration", () => {
  it("show its state and not their own copies, and write to it alone", async () => {
    const { exploration, panels, places } = await linked();
    expect(places.map((el) => field(el).value)).toEqual(["one two", "one two"]);
    field(places[0]!).value = "one three";
    field(places[0]!).dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(field(places[1]!).value).toBe("one three");
    expect(exploration.saves).toEqual([{ text: "one three" }]);
    expect(panels.flatMap((panel) => panel.saves)).toEqual([]);
  });

  it("light up a token in all of them at once, and tell Python when the pointer rests", async () => {
    const { exploration, places } = await linked();
    vi.useFakeTimers();
    const chip = places[0]!.querySelector('[data-index="1"]')!;
    chip.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    await vi.advanceTimersByTimeAsync(50);
    expect(places.map((el) => el.querySelector(".is-hovered")?.textContent)).toEqual([" two", " two"]);
    expect(exploration.saves).toEqual([]);
    await vi.advanceTimersByTimeAsync(500);
    expect(exploration.saves).toEqual([{ hover: 1 }]);
  });

  it("let go of it with their view", async () => {
    const { exploration, panels } = await linked();
    expect(exploration.listening).toBeGreaterThan(0);
    view.abort();
    expect([exploration, ...panels].map((model) => model.listening)).toEqual([0, 0, 0]);
  });

  it("mirror it themselves where the page cannot give it", async () => {
    const model = new FakeModel({ ...common({ text: "mirrored" }), exploration: "anywidget:gone" });
    const el = place();
    const host = {
      getModel: () => Promise.reject(new Error("no such model")),
      getWidget: () => Promise.reject(new Error("none")),
    };
    await mountPanel(Bare).render({ model, el, signal: view.signal, host });
    expect(field(el).value).toBe("mirrored");
    field(el).value = "typed";
    field(el).dispatchEvent(new Event("input", { bubbles: true }));
    expect(model.saves).toEqual([{ text: "typed" }]);
  });
});
