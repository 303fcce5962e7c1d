"""Text as a person can see it: what has no shape gets one.

Token strings hold characters that print as nothing, move the caret or reorder their neighbours. Here they become
symbols, so a reader sees that they are there and a page cannot be disturbed by them:

* newline ``⏎``, carriage return ``␍``, tab ``⇥``;
* every other control, invisible format, bidirectional, tag, private-use and non-character code point ``⟨U+202E⟩``;
* bytes that are not (yet) a character ``⟨E4 B8⟩``;
* a combining mark with nothing to combine with stands on a dotted circle ``◌́``.

Joiners and variation selectors stay as they are where they do their work inside one piece (between two visible
characters, or right after one), so an emoji family or a heart in colour keeps its picture; alone they are shown as
escapes. Tags stay in the three flags that are written with them; anywhere else they could hide a text. A symbol a
person really typed looks the same as the escape; the token's kind tells them apart.
"""

from __future__ import annotations

import re
import unicodedata

_SYMBOLS = {"\n": "⏎", "\r": "␍", "\t": "⇥"}

# Spelt out instead of asked from `unicodedata`: the interpreter's tables are years older than the newest emoji,
# which would be hidden as unassigned, and scanning a million code points at import costs a third of a second.
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(chr((plane << 16) | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 and C1 controls
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # soft hyphen, fillers, blank letters
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, separators, bidi, annotation
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variation selectors
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"  # shorthand, musical, tags
    "\ud800-\udfff\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"  # surrogates, private use
    + _NONCHARACTERS
    + "]"
)
# The flags of England, Scotland and Wales: a black flag, the region in tags, and the tag that ends it.
_TAGGED = re.compile(
    "\U0001f3f4\U000e0067\U000e0062"
    "(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_ALL_HIDDEN = re.compile(_HIDDEN.pattern + "+")
_JOINERS = "\u200c\u200d"
_SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Marks begin at U+0300; text below it (and without anything hidden) needs no look at its single characters.
_NEEDS_CARE = re.compile(_HIDDEN.pattern + "|[^\x00-\u02ff]")


def visible(text: str) -> str:
    """`text` with everything that has no shape of its own shown as a symbol or an escape; see the module."""
    if not _NEEDS_CARE.search(text):
        return text
    shown: list[str] = []
    flags = {index for flag in _TAGGED.finditer(text) for index in range(*flag.span())}
    state = ""  # "base" after a visible character, "selected" after its variation selector, else ""
    for index, char in enumerate(text):
        if index in flags:
            shown.append(char)
            state = "base"
        elif _HIDDEN.match(char):
            if char in _JOINERS and state and _continues(text, index + 1):
                shown.append(char)
            elif state == "base" and _SELECTORS.match(char):
                shown.append(char)
                state = "selected"
                continue
            else:
                shown.append(_SYMBOLS.get(char) or f"⟨U+{ord(char):04X}⟩")
            state = ""
        elif unicodedata.category(char).startswith("M"):
            shown.append(char if state else "◌" + char)
            state = state or "base"
        else:
            shown.append(char)
            state = "" if char.isspace() else "base"
    return "".join(shown)


def _continues(text: str, index: int) -> bool:
    """Whether a visible character stands at `index`, for a joiner before it to join."""
    return index < len(text) and not _HIDDEN.match(text[index]) and not text[index].isspace()


def hidden(text: str) -> list[str]:
    """The characters of `text` that cannot be seen, without line breaks, tabs and those that do visible work."""
    seen = _TAGGED.sub("", text)
    return [char for char in seen if _HIDDEN.match(char) and char not in "\n\r\t\u200c\u200d\ufe0e\ufe0f"]


def is_control(text: str) -> bool:
    """Whether `text` is one or more characters without a shape of their own, and nothing else."""
    return _ALL_HIDDEN.fullmatch(text) is not None


def hexadecimal(data: bytes) -> str:
    """Bytes that are no whole character, as a reader sees them: ``⟨E4 B8⟩``."""
    return f"⟨{data.hex(' ').upper()}⟩"


def visible_bytes(data: bytes) -> str:
    """The text that `data` spells in UTF-8, made visible; what is no character is shown as hexadecimal."""
    shown: list[str] = []
    invalid = b""
    rest = data
    while rest:
        try:
            good, bad, rest = rest.decode("utf-8"), b"", b""
        except UnicodeDecodeError as error:
            good, bad, rest = rest[: error.start].decode("utf-8"), rest[error.start : error.end], rest[error.end :]
        if good and invalid:
            shown.append(hexadecimal(invalid))
            invalid = b""
        shown.append(visible(good))
        invalid += bad
    if invalid:
        shown.append(hexadecimal(invalid))
    return "".join(shown)
