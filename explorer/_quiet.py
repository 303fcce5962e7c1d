"""Keeps two warnings out of notebooks that say nothing about a user's model.

transformers imports torchao wherever it is installed, and torchao then reports each of its kernels that is built for
another machine; torch reports how torchao registers its own enums.
"""

from __future__ import annotations

import logging

_SILENT = {"torchao": "Failed to load ", "torch.utils._pytree": "Enum subclass"}


def _worth_saying(record: logging.LogRecord) -> bool:
    return _SILENT[record.name] not in str(record.msg)


def quieten() -> None:
    """Drops these two messages and no other; nothing is imported for it."""
    for name in _SILENT:
        logging.getLogger(name).addFilter(_worth_saying)
