"""Remembers which steps of the set-up are done, and from what, so that a second start does nothing twice."""

from __future__ import annotations

from pathlib import Path


class Stamps:
    """One small file a step, in the environment itself: it vanishes together with what it speaks of.

    A stamp is written only after its step succeeded. A step that was interrupted therefore runs again, and pip,
    npm and the sample cache each take up what they had finished.
    """

    def __init__(self, venv: Path) -> None:
        self._folder = venv / "explorer-steps"

    def holds(self, step: str, key: str) -> bool:
        """Whether the step was done from exactly this."""
        try:
            return (self._folder / step).read_text("utf-8") == key
        except OSError:
            return False

    def write(self, step: str, key: str) -> None:
        """Records a step as done."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f"{step}.new"
        fresh.write_text(key, "utf-8")
        fresh.replace(self._folder / step)

    def drop_all(self) -> None:
        """Forgets every step: what they stand on was made anew."""
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                file.unlink()
