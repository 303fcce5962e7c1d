import { signal } from "@preact/signals";
import { afterEach, describe, expect, it } from "vitest";
import { type CommonState, Panel, mountPanel, useModel } from "../src/shared";
import { FakeModel, common, settled } from "./fake-model";

let view = new AbortController();

afterEach(() => {
  view.abort();
  view = new AbortController();
  document.body.replaceChildren();
});

function place(): HTMLElement {
  const el = document.createElement("div");
  document.body.append(el);
  return el;
}

describe("mountPanel", () => {
  it("shows an error card where drawing throws, and draws again when something new arrives", async () => {
    const broken = signal(true);
    const Fragile = () => {
      const text = useModel<CommonState>().trait("text").value;
      if (broken.peek()) throw new Error(`cannot draw ${text}`);
      return <p>drawn</p>;
    };
    const el = place();
    const model = new FakeModel({ ...common({ text: "<b>" }) });
    mountPanel(Fragile).render({ model, el, signal: view.signal });
    await settled();
    expect(el.querySelector("[role=alert] p")?.textContent).toBe(
      "The panel could not be drawn. cannot draw <b>",
    );
    broken.value = false;
    model.arrive("view", { request: 2 });
    await settled();
    expect(el.textContent).toBe("drawn");
  });

  it("ends with the host's signal, or with the function it returns where there is none", async () => {
    const Bare = () => (
      <Panel name="bare" title="Test" tokens={[]} ready>
        picture
      </Panel>
    );
    const model = new FakeModel({ ...common() });
    const el = place();
    const end = await mountPanel(Bare).render({ model, el });
    expect(el.textContent).toContain("picture");
    end();
    end();
    expect([model.listening, el.childElementCount]).toEqual([0, 0]);
    await mountPanel(Bare).render({ model, el, signal: view.signal });
    view.abort();
    expect([model.listening, el.childElementCount]).toEqual([0, 0]);
  });

  it("hands over messages while the view lasts, and sends none afterwards", () => {
    const heard: unknown[] = [];
    let send = (_content: object): void => {};
    const Talking = () => {
      const model = useModel<CommonState>();
      send = (content) => model.send(content);
      model.onMessage((message) => heard.push(message));
      return <p>talking</p>;
    };
    const model = new FakeModel({ ...common() });
    mountPanel(Talking).render({ model, el: place(), signal: view.signal });
    model.message({ type: "step" });
    send({ type: "stop" });
    view.abort();
    model.message({ type: "late" });
    send({ type: "late" });
    expect(heard).toEqual([{ type: "step" }]);
    expect(model.sent).toEqual([{ type: "stop" }]);
  });
});

describe("the frame", () => {
  const Bare = () => (
    <Panel name="bare" title="Test" tokens={[]} ready={false}>
      picture
    </Panel>
  );

  async function shown(changes: Partial<CommonState>): Promise<HTMLElement> {
    const el = place();
    mountPanel(Bare).render({ model: new FakeModel({ ...common(changes) }), el, signal: view.signal });
    await settled();
    return el;
  }

  it.each([
    [{ state: "live", ms: 61.2 }, "live · 61 ms"],
    [{ state: "live", ms: 0.3 }, "live · <1 ms"],
    [{ state: "live", ms: 1234 }, "live · 1.2 s"],
    [{ state: "working", note: "waiting for a running cell" }, "working · waiting for a running cell"],
    [{}, "waiting for the model"],
  ] as const)("says %j as “%s”", async (status, words) => {
    const el = await shown({ status });
    expect(el.querySelector(".explorer-status")?.textContent).toBe(words);
  });

  it("says when the kernel is gone, for good", async () => {
    const el = place();
    const slots = new Set<(sender: unknown, status: unknown) => void>();
    const statusChanged = {
      connect: (slot: (sender: unknown, status: unknown) => void) => slots.add(slot),
      disconnect: (slot: (sender: unknown, status: unknown) => void) => slots.delete(slot),
    };
    const model = new FakeModel({ ...common({ status: { state: "working", progress: 0.4 } }) });
    const host = Object.assign(model, { widget_manager: { kernel: { statusChanged } } });
    mountPanel(Bare).render({ model: host, el, signal: view.signal });
    const tell = (status: string): void => slots.forEach((slot) => slot(null, status));
    const shown = (): string | null | undefined => el.querySelector(".explorer-status")?.textContent;
    tell("busy");
    await settled();
    expect(shown()).toBe("working");
    tell("restarting");
    tell("idle");
    await settled();
    expect(shown()).toContain("no longer live");
    expect(el.querySelector("[role=progressbar]")).toBeNull();
    view.abort();
    expect(slots.size).toBe(0);
  });

  it("shows progress as a line", async () => {
    const el = await shown({ status: { state: "working", progress: 0.4, progress_note: "step 20 of 50" } });
    expect(el.querySelector("[role=progressbar]")?.getAttribute("aria-valuenow")).toBe("40");
    expect(el.querySelector("[role=progressbar]")?.getAttribute("aria-label")).toBe("step 20 of 50");
  });

  it("shows the view's notes", async () => {
    const el = await shown({ view: { request: 1, tokens: [], notes: ["a lone surrogate was replaced"] } });
    expect(el.querySelector(".explorer-note")?.textContent).toBe("a lone surrogate was replaced");
  });

  it("survives traits that were never set", async () => {
    const el = place();
    mountPanel(Bare).render({ model: new FakeModel({}), el, signal: view.signal });
    await settled();
    expect(el.textContent).toContain("waiting for the model");
  });
});
