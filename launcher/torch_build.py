"""Which build of PyTorch this machine gets, and how much there is to download.

PyPI's build for Linux brings gigabytes of CUDA libraries, useless without an NVIDIA driver. There the CPU build is
taken from wherever it is to be had: pip's configured source or wheel folder first, then PyTorch's own index.
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher import pip
from launcher.console import Stop, megabytes, say
from launcher.project import Project

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_TIMEOUT_S = 5


@dataclass(frozen=True)
class Choice:
    """A build of PyTorch.

    Attributes:
        requirement: for pip.
        options: further options for pip.
        why: what the person is told.
        download: bytes to fetch, dependencies included; None where that could not be found out or is not large.
    """

    requirement: str
    options: tuple[str, ...]
    why: str
    download: int | None = None


def nvidia_driver() -> bool:
    """Whether a driver of NVIDIA's is loaded; under Windows' Linux it shows as a program only."""
    if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists():
        return True
    return shutil.which("nvidia-smi") is not None or Path("/usr/lib/wsl/lib/nvidia-smi").exists()


def choose(
    project: Project,
    *,
    platform: str = sys.platform,
    driver: Callable[[], bool] = nvidia_driver,
    offers: Callable[[Project, str, tuple[str, ...]], bool] | None = None,
    size: Callable[[Project, str], int | None] | None = None,
) -> Choice:
    """Chooses the build.

    Args:
        project: whose environment; its pip is asked.
        platform: as `sys.platform` names it.
        driver: tells whether there is an NVIDIA driver.
        offers: tells whether pip, with some options, finds a requirement.
        size: tells how many bytes a requirement needs downloaded.
    """
    offers, size = offers or _offers, size or _download
    pinned = project.pin("torch")
    if platform.startswith("linux") and not driver():
        cpu = f"{pinned}+cpu"
        if offers(project, cpu, ()):
            return Choice(cpu, (), "CPU build from pip's own sources: there is no NVIDIA driver")
        # Without the packages it needs: those come with all the others, at their pins, from pip's own sources.
        elsewhere = ("--index-url", CPU_INDEX, "--timeout", str(_TIMEOUT_S), "--retries", "0")
        if offers(project, cpu, elsewhere):
            options = ("--no-deps", "--index-url", CPU_INDEX)
            return Choice(cpu, options, f"CPU build from {CPU_INDEX}: there is no NVIDIA driver")
        why = "default build, with CUDA: no CPU build could be reached"
    elif platform.startswith("linux"):
        why = "default build, with CUDA: there is an NVIDIA driver"
    else:
        why = "default build for this system"
    return Choice(pinned, (), why, size(project, pinned))


def install(project: Project, free: Callable[[int], None]) -> None:
    """Installs the chosen build, having said which and how large.

    Args:
        project: whose environment.
        free: refuses where the disk has less room than the given number of bytes.

    Raises:
        Stop: there is no room for it, or pip failed.
    """
    say("      Looking for the build that suits this machine ...")
    choice = choose(project)
    say(f"      {choice.requirement.replace('==', ' ')}: {choice.why}.")
    if choice.download is not None:
        say(f"      About {megabytes(choice.download)} to download.")
        free(3 * choice.download)  # the archives and, once unpacked, about twice their size
    elif not choice.requirement.endswith("+cpu"):
        say("      Its size could not be found out; with CUDA it is some 3 GB to download.")
    pip.install(project, [choice.requirement], *choice.options)


def _offers(project: Project, requirement: str, options: tuple[str, ...]) -> bool:
    name, version = requirement.split("==")
    outcome = pip.run(project, ["index", "versions", name, "--json", *options])
    return outcome.status == 0 and version in _versions(outcome.output)


def _versions(output: str) -> list[str]:
    """The versions in what `pip index versions --json` printed, between warnings and the like."""
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                return list(json.loads(line)["versions"])
            except (ValueError, KeyError, TypeError):
                return []
    return []


def _download(project: Project, requirement: str) -> int | None:
    """How many bytes pip would fetch for a requirement and what it needs, asked of wherever pip would fetch them."""
    report = project.temporary / "report.json"
    words = ["install", "--dry-run", "--quiet", "--report", str(report), "--constraint", str(project.constraints)]
    outcome = pip.run(project, [*words, requirement])
    if outcome.status != 0:
        raise Stop(pip.explain(outcome.output, project))
    return total_size(json.loads(report.read_text("utf-8")))


def total_size(report: dict[str, Any]) -> int | None:
    """The bytes of all files in a report of pip's; None where one of them will not tell.

    Args:
        report: what `pip install --report` wrote.
    """
    addresses = [item["download_info"]["url"] for item in report["install"]]
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(_size_of, addresses))
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _size_of(address: str) -> int | None:
    parts = urllib.parse.urlsplit(address)
    try:
        if parts.scheme == "file":
            return Path(urllib.request.url2pathname(parts.path)).stat().st_size
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:
            length = reply.headers["Content-Length"]
            return int(length) if length else None
    except (OSError, ValueError):
        return None
