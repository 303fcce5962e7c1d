/** What a reader should hear of only when it takes long. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useModel } from "./scope";
import type { CommonState } from "./wire";

const PATIENCE_MS = 1000;

/** Whether something has been so for longer than `ms`, a second by default. */
export function useLong(now: boolean, ms = PATIENCE_MS): boolean {
  const long = useSignal(false);
  useEffect(() => {
    if (!now) return;
    const timer = setTimeout(() => (long.value = true), ms);
    return () => {
      clearTimeout(timer);
      long.value = false;
    };
  }, [now, ms, long]);
  return now && long.value;
}

/** Whether the kernel has said nothing of a prompt for longer than a second: it answers each with a new status. */
export function useUnanswered(): boolean {
  const model = useModel<CommonState>();
  const text = model.trait("text").value;
  const status = model.trait("status").value;
  const asked = useSignal(false);
  const known = useRef(text);
  useEffect(() => {
    asked.value = known.current !== text;
    known.current = text;
  }, [text, asked]);
  useEffect(() => {
    asked.value = false;
  }, [status, asked]);
  return useLong(asked.value);
}
