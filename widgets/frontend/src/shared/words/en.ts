/**
 * Every word the panels say, in English. `zh.ts` says the same in Chinese; a panel's bundle holds the areas it uses.
 *
 * A value is a string, a function of what it talks about, or a list of such. What stands in the middle of a sentence and
 * is more than text (a token in its frame) goes in as a value too: such a function gives a list to be drawn in order.
 */

import type { KeyHelp } from "../keys";

const whole = (count: number): string => count.toLocaleString("en");
const tokens = (count: number): string => `${whole(count)} ${count === 1 ? "token" : "tokens"}`;

export const shared = {
  language: "en",
  tokens,
  listed: (parts: readonly string[]) => parts.filter((part) => part !== "").join(", "),
  details: "Details",
  notDrawn: "The panel could not be drawn.",
  notRead: "The picture cannot be read.",
  noReason: "Something failed, and no reason was given.",
  keys: "Keys",
  keysEverywhere: [
    ["Tab", "go to the next part of the panel"],
    ["Esc", "let go of what is selected"],
    ["?", "show or hide this list"],
  ] as readonly KeyHelp[],
  colors: (low: string, high: string) => `colours from ${low} to ${high}`,
  prompt: "Prompt",
  typePrompt: "Type a prompt",
  tooLong: (count: number, most: number) =>
    `The text has ${whole(count)} characters; texts of more than ${whole(most)} are not sent to the model. Shorten it.`,
  halfCharacter: "A half of a character pair stands alone; the model reads it as “\ufffd”.",
  states: { live: "live", working: "working", error: "error", waiting: "waiting for the model" },
  gone: "no longer live: the kernel was restarted or is gone",
  runAgain: "Run the cell again to go on.",
  progress: "Progress",
  promptTokens: "Tokens of the prompt",
  token: (index: number) => `token ${index}`,
  position: (index: number) => `position ${index}`,
  id: (id: number) => `id ${id}`,
  showAll: (count: number) => `show all ${tokens(count)}`,
};

export const attention = {
  title: "Attention",
  head: (layer: number, head: number) => `layer ${layer} · head ${head}`,
  keys: [
    ["← →", "walk layers, keys or tokens"],
    ["↑ ↓", "walk heads or queries"],
    ["Home End", "go to the first or last"],
    ["Enter", "choose the cell or token"],
  ] as readonly KeyHelp[],
  hideFirst: "hide first token",
  whyHideFirst:
    "Heads with nothing to do attend to the first token; hiding its column shows the rest. Weights stay as they are.",
  fromThumbnail: "from the thumbnail; exact weights are being computed",
  heads: "Heads",
  headCount: (layers: number, heads: number) => `${layers} layers × ${heads} heads`,
  headCountUpTo: (layers: number, heads: number) => `${layers} layers × up to ${heads} heads`,
  grid: (layers: number, heads: number) => `${layers} layers by ${heads} heads`,
  chosen: (layer: number, head: number) => `layer ${layer}, head ${head}`,
  announced: (layer: number, head: number, pair: string, weight: string) =>
    `Layer ${layer}, head ${head}: ${pair} ${weight}`,
  map: (layer: number, head: number) => `Attention of layer ${layer}, head ${head}: rows attend to columns`,
  firstHidden: (percent: number) => `first token hidden: ${percent} % of the mass`,
  noHead: "no head is chosen: click one for its exact weights",
  blocks: (size: number) => `each cell is the largest of ${size} × ${size} weights`,
  sampled: (rows: number, all: number) => `thumbnails: sampled ${rows} of ${all} rows, exactly computed`,
  masked: "masked: it comes later",
  largestInBlock: (weight: string, rows: number, cols: number) =>
    `${weight}, the largest in a block of ${rows} × ${cols}`,
  notANumber: "not a number",
  headNotRead: "The chosen head cannot be read.",
  weightsOf: (token: string) => `Weights of ${token}`,
  attendsTo: <T>(token: T): (T | string)[] => [token, " attends to"],
  largestOf: (most: number, count: number) => `the ${most} largest of ${whole(count)} weights`,
  asTable: (count: number) => `as a table (${whole(count)})`,
  tableOf: (layer: number, head: number, token: string) => `Layer ${layer}, head ${head}: weights of ${token}`,
  position: "position",
  key: "key",
  weight: "weight",
};
