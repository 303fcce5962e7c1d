/** A long text in blocks of tokens, each drawn by itself: cut where a reader would pause. */

import type { Chip } from "./shared";

export interface TextBlock {
  chips: Chip[];
  /** The first and the last token. */
  first: number;
  last: number;
}

// As many chips as can be coloured anew within a frame; a text of one block flows without a break.
const MOST = 128;
const LEAST = 32;
const ONE_BLOCK = 400;

const ENDS_LINE = /⏎\s*$/u;
const ENDS_SENTENCE = /[.!?。！？…]["'”’»)\]]?\s*$/u;
const BEGINS_WORD = /^\s|^\p{Script=Han}|^\p{Script=Hiragana}|^\p{Script=Katakana}/u;

/** How well a text is cut between two chips: after a line best, then after a sentence, then before a word. */
function rankOf(before: Chip, after: Chip): number {
  if (ENDS_LINE.test(before.text) && !after.text.startsWith("⏎")) return 3;
  if (ENDS_SENTENCE.test(before.text)) return 2;
  return BEGINS_WORD.test(after.text) || before.kind === "special" ? 1 : 0;
}

/** Cuts a text into blocks of at most 128 chips; one of up to 400 is left whole. */
export function blocksOf(chips: readonly Chip[]): TextBlock[] {
  const blocks: TextBlock[] = [];
  for (let start = 0; start < chips.length; ) {
    let end = chips.length;
    if (chips.length > ONE_BLOCK && end - start > MOST) {
      end = start + MOST;
      let best = 0;
      for (let cut = start + MOST; cut > start + LEAST; cut--) {
        const rank = rankOf(chips[cut - 1]!, chips[cut]!);
        if (rank > best) [best, end] = [rank, cut];
      }
    }
    const part = chips.slice(start, end);
    blocks.push({ chips: part, first: part[0]!.indices[0]!, last: part.at(-1)!.indices.at(-1)! });
    start = end;
  }
  return blocks;
}

/** Whether the text goes on in a new line after a chip. */
export function endsLine(chip: Chip, next: Chip | undefined): boolean {
  return next !== undefined && ENDS_LINE.test(chip.text) && !next.text.startsWith("⏎");
}
