/** Which text is the true one while a person types: theirs, or what Python says. */

/** `text` with every lone surrogate replaced by U+FFFD, as UTF-8 and therefore Python cannot carry one. */
export function wellFormed(text: string): string {
  if (typeof text.toWellFormed === "function") return text.toWellFormed();
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

/**
 * Decides whether a text that arrives from Python replaces the one on the screen.
 *
 * The kernel answers late and repeats what it was sent. While the person types, a repetition of anything they typed since
 * they entered the field is an echo and is dropped; a text they never typed was set by somebody else and is taken.
 */
export class EchoRule {
  readonly #sent = new Set<string>();

  /** The person entered the field, which shows `text`. */
  enter(text: string): void {
    this.#sent.clear();
    this.#sent.add(text);
  }

  /** The person's text goes to Python. */
  send(text: string): void {
    this.#sent.add(text);
  }

  /** Whether `text`, just arrived, is to be shown. `focused`: the person is in the field. */
  accepts(text: string, focused: boolean): boolean {
    return !focused || !this.#sent.has(text);
  }
}
