/** Errors, where the picture would be. */

import type { JSX } from "preact";
import { inWords } from "./said";
import type { Fault } from "./wire";
import { noteWords, sharedWords, useWords } from "./words";

/** A fault from whatever was thrown: `sentence` says what failed, the error's own words say why. */
export function faultOf(error: unknown, sentence: string): Fault {
  if (!(error instanceof Error)) return { message: `${sentence} ${String(error)}`, detail: "" };
  return { message: `${sentence} ${error.message}`, detail: error.stack ?? "" };
}

/** One sentence, and the details for whoever unfolds them. */
export function FaultCard({ fault }: { fault: Fault }): JSX.Element {
  const words = useWords(sharedWords);
  const wordings = useWords(noteWords);
  return (
    <div class="explorer-fault" role="alert">
      <p>{inWords(fault.message, wordings)}</p>
      {fault.detail !== "" && (
        <details>
          <summary>{words.details}</summary>
          <pre tabIndex={0}>{fault.detail}</pre>
        </details>
      )}
    </div>
  );
}
