"""What a source is: a sample's name, a Hub id, a folder, or a GGUF file; and whether it may be opened at all."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from explorer import samples
from explorer.errors import Refused

# What transformers looks for, one file or parts of one; other precisions and formats often lie beside them.
_SAFE = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_READABLE_PICKLE = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# With what else is done before and after, an error comes within two seconds.
_PATIENCE = 1.6


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        kind: what it is.
        name: as the reader gave it.
        title: what the model is called.
        where: what transformers is given.
        files: the files there with their sizes, without those of a Hub repository that is only in part in the cache.
        options: for transformers, such as the revision.
        commit: of a Hub id whose folder in the Hugging Face cache transformers is given; empty elsewhere.
    """

    kind: Literal["sample", "folder", "gguf", "hub"]
    name: str
    title: str
    where: str
    files: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    commit: str = ""

    def weights(self, *, pickled: bool = False) -> dict[str, int]:
        """The weight files with their sizes: those of safetensors, or those that would be unpickled."""
        form = _READABLE_PICKLE if pickled else _SAFE
        found = {name: size for name, size in self.files.items() if form.fullmatch(name)}
        whole = {name: size for name, size in found.items() if "-of-" not in name}
        return whole or found


def find(source: str | Path | None, revision: str | None) -> Source:
    """What a source is, without reading any weights.

    Raises:
        Refused: it is none of these; or a Hub id that is neither in the cache nor can be reached.
    """
    name = samples.DEFAULT if source is None else str(source)
    if name in samples.SAMPLES:
        _no_revision(revision, f"the sample {name!r}")
        where = samples.folder(name)
        return Source("sample", name, samples.SAMPLES[name].title, str(where), _listed(where))
    if not name.strip():
        raise Refused("source='' is empty; leave it out for the sample, or give a folder, a GGUF file or a Hub id.")
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise Refused(f"source={name!r} is a file; a saved model's folder or a .gguf file can be opened.")
        _no_revision(revision, "a file")
        return Source("gguf", name, path.stem, str(path))
    if path.is_dir():
        _no_revision(revision, "a folder")
        return _folder(name, path)
    looks_like_a_path = path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name
    if looks_like_a_path or path.exists() or path.suffix.lower() == ".gguf":
        raise Refused(
            f"source={name!r} is not a folder or a GGUF file; give a saved model's folder, a .gguf file, a Hub id or a "
            f"sample's name ({', '.join(samples.SAMPLES)})."
        )
    return _hub(name, revision)


def check_weights(source: Source, allow_pickle: bool) -> bool:
    """Whether the weights must be unpickled.

    Raises:
        Refused: they must and may not, or there are none that can be read.
    """
    if source.weights() or not source.files:  # what is not listed is left to transformers
        return False
    pickled = source.weights(pickled=True)
    if pickled and allow_pickle:
        return True
    if pickled:
        raise Refused(
            f"source={source.name!r} has its weights only as pickles ({min(pickled)}), which can run code when they "
            "are read. If you trust whoever made them, pass allow_pickle=True; or save the model once as safetensors "
            "with transformers' save_pretrained, and open that folder."
        )
    ggufs = sorted(name for name in source.files if name.endswith(".gguf"))
    others = sorted(name for name in source.files if name.endswith(_PICKLED))
    there = f"; it has {ggufs[0]}: give the path of that file" if ggufs else ""
    there = there or (f"; {others[0]} is not a file that transformers reads" if others else "")
    raise Refused(f"source={source.name!r} has no model.safetensors{there}.")


def _no_revision(revision: str | None, what: str) -> None:
    if revision is not None:
        raise Refused(f"revision={revision!r} has no meaning for {what}; leave it out.")


def _folder(name: str, path: Path) -> Source:
    files = _listed(path)
    if "config.json" not in files:
        ggufs = sorted(file for file in files if file.endswith(".gguf"))
        what = f"give the file {ggufs[0]} in it" if ggufs else "give the folder of a saved model"
        raise Refused(f"source={name!r} is a folder without config.json; {what}.")
    return Source("folder", name, path.resolve().name, str(path), files)


def _listed(folder: Path) -> dict[str, int]:
    try:
        return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        raise Refused(f"The folder {folder} cannot be read ({error.strerror or error}).") from error


def _hub(name: str, revision: str | None) -> Source:
    from huggingface_hub import constants, is_offline_mode, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError as error:
        raise Refused(
            f"source={name!r} is no folder, no file and no Hub id (owner/name); the samples are "
            f"{', '.join(samples.SAMPLES)}."
        ) from error
    folder = Path(cached).parent if isinstance(cached, str) else None
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    if is_offline_mode():
        if folder is None:
            raise Refused(
                f"source={name!r}{_at(revision)} is not in the Hugging Face cache and HF_HUB_OFFLINE is set, so it "
                "could not be opened: unset HF_HUB_OFFLINE to fetch it, or give a folder or a sample's name."
            )
        return Source("hub", name, name, name, _kept(name, folder), options)
    patience = _patience()
    files = answered(lambda: _repository(name, revision, patience), patience)
    if files is not None:
        return Source("hub", name, name, name, files, options)
    if folder is None:
        raise Refused(
            f"source={name!r}{_at(revision)} is not in the Hugging Face cache and {constants.ENDPOINT} did not answer "
            f"within {patience:.1f} seconds, so it could not be opened: check the network, set HF_ENDPOINT to a mirror "
            "or HF_HUB_ETAG_TIMEOUT to the seconds to wait, or give a folder or a sample's name. (HF_HUB_OFFLINE=1 "
            "works from the cache without asking.)"
        )
    # Given the name, transformers asks for some files all the same (is it an adapter?) and waits for minutes.
    return Source("hub", name, name, str(folder), _kept(name, folder), commit=folder.name)


def _kept(name: str, folder: Path) -> dict[str, int]:
    """The files of a repository that are in the Hugging Face cache."""
    files = _listed(folder)
    if not any(file.endswith((".safetensors", *_PICKLED, ".gguf")) for file in files):
        raise Refused(
            f"source={name!r} is in the Hugging Face cache without its weights, and nothing can be fetched now "
            "(HF_HUB_OFFLINE is set, or there is no network): fetch it once with a network."
        )
    return files


def _at(revision: str | None) -> str:
    return "" if revision is None else f" at revision={revision!r}"


def _patience() -> float:
    """How many seconds the Hub has for its first answer: its client's own variable where that is set."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_ETAG_TIMEOUT) if "HF_HUB_ETAG_TIMEOUT" in os.environ else _PATIENCE


def _repository(name: str, revision: str | None, patience: float) -> dict[str, int]:
    """The files of a Hub repository with their sizes; nothing where the Hub will not say, which its client explains.

    Raises:
        OSError: there is no answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=patience)
    except (HfHubHTTPError, ValueError):
        return {}
    except Exception as error:  # its HTTP client, whose errors these are, is another one from version to version
        raise OSError(str(error)) from error
    return {file.rfilename: file.size or 0 for file in found.siblings or ()}


def answered(work: Callable[[], dict[str, int]], patience: float) -> dict[str, int] | None:
    """What work that waits for the network gives; None where it fails, or takes longer than `patience` in seconds.

    A look-up of a name that hangs, and a server that takes a connection and says no more, are cut off too.
    """
    found: list[dict[str, int]] = []

    def attempt() -> None:
        with contextlib.suppress(OSError):
            found.append(work())

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(patience)
    return found[0] if found else None
