"""Sentences for a reader that can be said in another language as well."""

from __future__ import annotations

from typing import Any, Literal

Key = Literal[
    "lone_surrogates",
    "two_beginnings",
    "added_beginning",
    "no_beginning",
    "specials_in_text",
    "specials_as_characters",
    "specials_even_literally",
    "unknown_pieces",
    "dropped_characters",
    "specials_in_message",
    "lost_characters",
    "hidden_characters",
    "not_composed",
    "vocabularies_differ",
    "context_nearly_full",
    "characters_in_pieces",
    "adds_no_beginning",
    "no_first_space",
    "text_changed",
    "replaced_characters",
    "not_recorded",
    "nan_weights",
    "nobody_looked",
    "against_is_likeliest",
    "generating",
    "integrating",
    "reading_heads",
    "rolling_out",
    "finding_flow",
    "on_request",
    "baseline",
    "stopped",
    "end_of_sequence",
    "as_many_as_asked",
    "context_full",
    "broke_off",
    "needs_weights",
    "saved_is_fixed",
    "saved_token",
    "saved_file_gone",
    "empty_prompt",
    "prompt_too_long",
    "reads_images",
    "reads_both",
    "no_tokenizer",
    "no_text",
    "no_vocabulary",
    "both_directions",
    "no_attention",
    "no_picture",
    "no_patches",
    "reorders_patches",
    "image_out_of_range",
    "image_is_fixed",
    "of_text_alone",
    "other_of_image",
]


class Note(str):
    """A sentence in English that also says what it tells, for whoever words it in another language.

    It is a `str` in every way. Panels send key and values along, and the browser has the wording of its language.

    Attributes:
        key: which sentence it is.
        about: the values that it names; plain JSON.
    """

    key: Key
    about: dict[str, Any]

    def __new__(cls, key: Key, text: str, **about: Any) -> Note:
        note = super().__new__(cls, text)
        note.key, note.about = key, about
        return note

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.key, str(self)), self.about
