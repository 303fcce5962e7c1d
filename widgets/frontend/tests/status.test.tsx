import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type CommonState, Panel, mountPanel } from "../src/shared";
import { remaining } from "../src/shared/status";
import * as en from "../src/shared/words/en";
import * as zh from "../src/shared/words/zh";
import { FakeModel, common, settled, tokensOf } from "./fake-model";

let view = new AbortController();
let el: HTMLElement;

beforeEach(() => {
  view = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  vi.useRealTimers();
  view.abort();
  document.body.replaceChildren();
});

const live = common().status;

async function shown(changes: Partial<CommonState>, manager?: unknown): Promise<FakeModel> {
  const Bare = () => (
    <Panel name="bare" title="Test" tokens={tokensOf("a")} ready>
      picture
    </Panel>
  );
  const model = Object.assign(new FakeModel({ ...common(changes) }), { widget_manager: manager });
  mountPanel(Bare).render({ model, el, signal: view.signal });
  await settled();
  return model;
}

const status = (): string | null | undefined => el.querySelector(".explorer-status")?.textContent;
const buttons = (): HTMLButtonElement[] => [...el.querySelectorAll<HTMLButtonElement>(".explorer-stop")];

it("says how long the rest will take, in words that fit the duration", () => {
  const said = (left: number | null): string[] => [en, zh].map((words) => remaining(left, words.shared));
  expect(said(null)).toEqual(["", ""]);
  expect(said(0.4)).toEqual(["", ""]);
  expect(said(3.2)).toEqual(["about 3 s left", "剩余约 3 秒"]);
  expect(said(200)).toEqual(["about 3 min left", "剩余约 3 分钟"]);
});

it("gives a button to stop what tells of its progress, and one to ask again for what was stopped", async () => {
  const model = await shown({ view: { request: 1 } });
  expect(buttons()).toEqual([]);
  model.arrive("status", { ...live, state: "working", progress: 0.25, progress_note: "generating", left: 12 });
  await settled();
  expect(status()).toBe("working · generating· about 12 s left");
  expect(el.querySelector('.explorer-status [role="status"]')?.textContent).toBe("working · generating");
  buttons()[0]!.click();
  expect(model.sent).toEqual([{ type: "stop" }]);
  model.arrive("status", { ...live, state: "stopped", request: 1 });
  await settled();
  expect(status()).toBe("stopped");
  expect(buttons()).toEqual([]);
  model.arrive("status", { ...live, state: "stopped", request: 2 });
  await settled();
  buttons()[0]!.click();
  expect(model.sent.at(-1)).toEqual({ type: "again" });
});

it("lets work of unknown length be stopped once it has taken a second", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const Bare = () => (
    <Panel name="bare" title="Test" tokens={[]} ready>
      picture
    </Panel>
  );
  const model = new FakeModel({ ...common({ status: { ...live, state: "working" } }) });
  mountPanel(Bare).render({ model, el, signal: view.signal });
  await vi.advanceTimersByTimeAsync(900);
  expect(buttons()).toEqual([]);
  await vi.advanceTimersByTimeAsync(300);
  expect(buttons()).toHaveLength(1);
  model.arrive("status", live);
  await vi.advanceTimersByTimeAsync(50);
  expect(buttons()).toEqual([]);
});

it("says nothing of an answer that comes at once, and neither does it change the page", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const model = new FakeModel({ ...common({ status: live }) });
  mountPanel(() => <Panel name="bare" title="Test" tokens={[]} ready children="picture" />).render({
    model,
    el,
    signal: view.signal,
  });
  await vi.advanceTimersByTimeAsync(0);
  const changes: MutationRecord[] = [];
  const watch = new MutationObserver((found) => changes.push(...found));
  watch.observe(el, { subtree: true, childList: true, characterData: true, attributes: true });
  model.arrive("status", { ...live, state: "working", ms: null });
  await vi.advanceTimersByTimeAsync(100);
  model.arrive("status", { ...live, state: "working", ms: null, request: 2 });
  await vi.advanceTimersByTimeAsync(40);
  expect(status()).toBe("live · 61 ms");
  expect(changes).toEqual([]);
  await vi.advanceTimersByTimeAsync(300);
  expect(status()).toBe("working");
  model.arrive("status", { ...live, request: 2, ms: 190 });
  await vi.advanceTimersByTimeAsync(0);
  expect(status()).toBe("live · 190 ms");
  model.arrive("status", { ...live, state: "error", error: { message: "no", detail: "" }, request: 3 });
  await vi.advanceTimersByTimeAsync(0);
  expect(status()).toBe("error");
});

it("says that it waits for a cell only where one runs and the kernel has not answered for a second", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const Bare = () => (
    <Panel name="bare" title="Test" tokens={[]} ready>
      picture
    </Panel>
  );
  const statusChanged = { connect: () => {}, disconnect: () => {} };
  const model = Object.assign(new FakeModel({ ...common({}) }), {
    widget_manager: { kernel: { status: "busy", statusChanged } },
  });
  mountPanel(Bare).render({ model, el, signal: view.signal });
  await vi.advanceTimersByTimeAsync(3000);
  expect(status()).toBe("live · 61 ms");
  model.arrive("text", "a b c");
  await vi.advanceTimersByTimeAsync(1500);
  expect(status()).toBe("waiting for a running cell");
  model.arrive("status", { ...live, request: 2 });
  await vi.advanceTimersByTimeAsync(50);
  expect(status()).toBe("live · 61 ms");
});

it("says that the model was closed and keeps the picture", async () => {
  await shown({ status: { ...live, state: "closed", ms: null } });
  expect(status()).toBe("the model was closed");
  expect(el.querySelector(".explorer-stage")?.textContent).toBe("picture");
});
