"""Sets Explorer up in this folder and opens it: `python start.py`, or `python start.py --help`.

This file alone is read by whatever Python a person happens to have, so it uses nothing that an old one could not
parse: it says in one sentence which Python is needed and leaves everything else to `launcher`.
"""

# ruff: noqa: RUF005, UP031 - the newer spellings are what an old Python could not parse
import sys


def unsupported(version):
    """The sentence for a Python that Explorer does not run on, or None.

    Args:
        version: major, minor and micro number.
    """
    if (3, 11) <= tuple(version[:2]) <= (3, 13):
        return None
    example = "py -3.13 start.py" if sys.platform == "win32" else "python3.13 start.py"
    return (
        "Explorer runs on Python 3.11, 3.12 and 3.13 and this is Python %d.%d.%d: install one of those from "
        "https://www.python.org/downloads/ and start it with that one, for example `%s`."
    ) % (tuple(version[:3]) + (example,))


def run():
    """Says what is wrong with this Python, or hands over."""
    problem = unsupported(sys.version_info)
    if problem:
        sys.stderr.write(problem + "\n")
        return 2
    from launcher.cli import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
