/** What Python says to a reader: plain text, or a note that the browser words in its own language. */

/** What each note of Python is about; the keys are those of `explorer.note`. */
export interface Notes {
  lone_surrogates: { count: number };
  two_beginnings: { name: string };
  added_beginning: { name: string };
  no_beginning: { name: string };
  specials_in_text: { names: string[]; more: number };
  specials_as_characters: { names: string[]; more: number };
  specials_even_literally: { names: string[]; more: number };
  unknown_pieces: { count: number; name: string };
  dropped_characters: { names: string[]; more: number };
  specials_in_message: { names: string[]; more: number };
  lost_characters: { count: number };
  hidden_characters: { names: string[]; more: number };
  not_composed: object;
  vocabularies_differ: { tokenizer: number; model: number };
  context_nearly_full: { count: number; context: number };
  characters_in_pieces: { count: number };
  adds_no_beginning: { name: string };
  no_first_space: { bare: string; bare_id: number; inside: string; inside_id: number };
  text_changed: { names: string[]; more: number };
  replaced_characters: { count: number };
  not_recorded: { layers: number[] };
  nan_weights: { layer: number };
  nobody_looked: object;
  against_is_likeliest: object;
  generating: object;
  integrating: object;
  reading_heads: object;
  rolling_out: object;
  finding_flow: object;
  on_request: { seconds: number };
  baseline: { kind: string; held: boolean };
  stopped: object;
  end_of_sequence: object;
  as_many_as_asked: { count: number };
  context_full: { context: number };
  broke_off: { error: string };
  needs_weights: { what: string; include: string; model: string };
  saved_is_fixed: { name: string };
  saved_token: { argument: string; token: string; count: number };
  saved_file_gone: { path: string };
  empty_prompt: object;
  prompt_too_long: { count: number; unit: string; model: string; context: number };
  reads_images: { model: string };
  reads_both: { model: string };
  no_tokenizer: { model: string };
  no_text: { model: string };
  no_vocabulary: { model: string };
  both_directions: { model: string };
  no_attention: { model: string; why: string };
  no_picture: { model: string };
  no_patches: { stack: string; model: string };
  reorders_patches: { model: string };
  image_out_of_range: { image: number; count: number };
  image_is_fixed: { name: string };
  of_text_alone: { what: string; model: string };
  other_of_image: object;
}

/** A note with the English that Python gave it. */
export interface Note<Key extends keyof Notes = keyof Notes> {
  key: Key;
  about: Notes[Key];
  text: string;
}

export type Said = string | Note;

/** The notes of the token panel alone. */
export type Caution =
  | "lost_characters"
  | "hidden_characters"
  | "not_composed"
  | "vocabularies_differ"
  | "context_nearly_full"
  | "characters_in_pieces"
  | "adds_no_beginning"
  | "no_first_space"
  | "specials_in_message"
  | "text_changed";

export type Wordings = { [Key in keyof Notes]: (about: Notes[Key]) => string };

/** The key of a note; `null` of a plain text. */
export function keyOf(said: Said): keyof Notes | null {
  return typeof said === "string" ? null : said.key;
}

/** What is said, in the language of `wordings`; in Python's own words where it has none for it. */
export function inWords(said: Said, wordings: Partial<Wordings>): string {
  if (typeof said === "string") return said;
  if (!Object.hasOwn(wordings, said.key)) return said.text; // as English does, and a newer Python than the panel
  const wording = wordings[said.key] as (about: unknown) => string;
  return wording(said.about);
}
