"""Which of a model's classes run code that came with the model instead of transformers' own."""

from __future__ import annotations

from typing import Any

# Where transformers puts modules that it fetched or copied from a model's own folder.
_FOREIGN = "transformers_modules."


def foreign_code(*parts: Any) -> tuple[str, ...]:
    """A caution that names the classes among a model and its tokenizer whose code came with the model, if any."""
    names = [type(part).__name__ for part in parts if type(part).__module__.startswith(_FOREIGN)]
    return (f"runs its own code ({', '.join(names)})",) if names else ()
