"""Two hundred short English prompts, always the same: beginnings crossed with subjects."""

from __future__ import annotations

_SUBJECTS = (
    "the ocean", "a good teacher", "the city of Paris", "an old clock", "the first computer",
    "a winter morning", "the human heart", "a small village", "the theory of evolution", "a cup of coffee",
    "the stock market", "my grandmother", "a long train journey", "the planet Mars", "a broken window",
    "the Roman Empire", "a piece of music", "the price of bread", "an honest mistake", "the end of the war",
)  # fmt: skip
_BEGINNINGS = (
    "Most people do not know that {}",
    "The most important thing about {} is",
    "When I think of {}, I",
    "Write one sentence about {}.",
    "Question: What is special about {}? Answer:",
    "In the year 1900, {} was",
    "Compared with everything else, {} seems",
    "She told me a story about {}, and then",
    "def describe():\n    # {}\n    return",
    "1. {}\n2.",
)


def prompts() -> list[str]:
    """All of them, in a fixed order."""
    return [beginning.format(subject) for beginning in _BEGINNINGS for subject in _SUBJECTS]
