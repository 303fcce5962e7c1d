/** From tokens to what a person sees of them: one chip for every visible character or word. */

import type { WireToken } from "./wire";

/** One or more tokens that make up one visible thing. */
export interface Chip {
  /** What is shown, leading space included. */
  text: string;
  kind: WireToken["kind"];
  /** Where the chip's tokens stand in the list; more than one where a character is cut into pieces. */
  indices: number[];
}

// Reordering, zero-width and control characters disturb the page around them. Python has made them visible already;
// this holds for whatever else hands us a token.
const DISTURBING = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** `text` with every character that would disturb the page as an escape such as `⟨U+202E⟩`. */
export function visible(text: string): string {
  return text.replace(DISTURBING, (character) => {
    const code = character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    return `⟨U+${code}⟩`;
  });
}

/** What stands for text that is nothing but white space, one sign a character; `null` for any other text. */
export function blankMarks(text: string): string | null {
  return /^\s+$/u.test(text) ? text.replace(/\s/gu, (space) => (space === "\u00a0" ? "⍽" : "␣")) : null;
}

function joined(pieces: WireToken[]): string {
  const texts = pieces.map((token) => visible(token.text));
  // The pieces of one character either all carry the character or each carry their bytes.
  return texts.filter((text, index) => index === 0 || text !== texts[index - 1]).join("");
}

/** Groups neighbouring tokens that belong to the same visible character. */
export function chips(tokens: readonly WireToken[]): Chip[] {
  const grouped: { tokens: WireToken[]; indices: number[] }[] = [];
  tokens.forEach((token, index) => {
    const last = grouped[grouped.length - 1];
    const continues = last !== undefined && token.parts > 1 && last.tokens[0]?.group === token.group;
    if (continues) {
      last.tokens.push(token);
      last.indices.push(index);
    } else {
      grouped.push({ tokens: [token], indices: [index] });
    }
  });
  return grouped.map(({ tokens: pieces, indices }) => ({
    text: joined(pieces),
    kind: pieces[0]?.kind ?? "text",
    indices,
  }));
}

/** A token in a sentence: `“ Mary”`, `“世” 2/3`, or a special token as it is. */
export function tokenName(token: Pick<WireToken, "text" | "kind"> & Partial<WireToken>): string {
  const text = visible(token.text);
  if (token.kind === "special") return text;
  const pieces = token.parts !== undefined && token.parts > 1 ? ` ${token.part}/${token.parts}` : "";
  return `“${text}”${pieces}`;
}
