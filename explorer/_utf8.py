"""Where characters begin and end: in bytes, and in strings that hold halves of them."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def is_whole(data: bytes) -> bool:
    """Whether `data` is nothing but whole characters."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def begins_character(data: bytes) -> bool:
    """Whether `data` is the beginning of one character and not all of it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return False


def unfinished_end(data: bytes) -> bytes:
    """The last bytes of `data` that begin a character without finishing it; at most three, often none."""
    if data[-1:].isascii():
        return b""
    tail = data[-3:]
    return next((tail[start:] for start in range(len(tail)) if begins_character(tail[start:])), b"")


def goes_on(unfinished: bytes, data: bytes) -> bool:
    """Whether `data` goes on with the character that `unfinished` begins."""
    longer = unfinished + data[:1]
    return bool(data) and (is_whole(longer) or begins_character(longer))


def well_formed(text: str) -> tuple[str, int]:
    """`text` without lone surrogates, which no tokenizer takes, and how many were replaced by U+FFFD.

    Two halves of one character that stand side by side are joined into it and not counted.

    Raises:
        TypeError: `text` is not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"text is a {type(text).__name__}, not a str: pass the characters a person typed.")
    if not _SURROGATE.search(text):
        return text, 0
    joined = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _SURROGATE.subn("\ufffd", joined)
