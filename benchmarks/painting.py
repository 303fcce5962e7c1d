"""How long a real browser takes from being given a page to showing its picture, measured in the page itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from launcher import browsers
from launcher.lab import is_root

FLAGS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
# No page of a measurement reaches another machine.
CUT_OFF = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
_PATIENCE_S = 300.0
# The frame after the one that found the picture begins when that one has been laid out and painted.
_WATCH = """
(() => {
  const look = () => {
    if (PICTURE) requestAnimationFrame(() => { window.firstPaint = performance.now() });
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""
# The act runs after the question was answered, so that the one who asks can stop waiting.
_CHANGE = """
() => {
  window.changed = null;
  setTimeout(() => {
    const started = performance.now();
    const look = () => {
      if (DONE) requestAnimationFrame(() => { window.changed = performance.now() - started });
      else requestAnimationFrame(look);
    };
    ACT;
    requestAnimationFrame(look);
  });
}
"""
# Both maps of the panel, the large one and the thumbnails, with more than one colour on each.
PANEL_PICTURE = """(() => {
  const maps = [...document.querySelectorAll("canvas")];
  return maps.length > 1 && maps.every((map) => {
    if (!map.width || !map.height) return false;
    const { data } = map.getContext("2d").getImageData(0, 0, map.width, map.height);
    const pixels = new Uint32Array(data.buffer);
    return pixels.some((pixel) => pixel !== pixels[0]);
  });
})()"""
BERTVIZ_PICTURE = "document.querySelector('svg line') !== null"


class Painter:
    """A browser and a server of the pages that it paints. Get one with `painter`."""

    def __init__(self, browser: Any, address: str) -> None:
        self._browser = browser
        self._address = address

    @property
    def version(self) -> str:
        return str(self._browser.version)

    def first_paint(self, page: str, picture: str, scripts: Mapping[str, str] | None = None) -> float:
        """As `painted`, for a page whose picture is all that is wanted: the seconds alone."""
        with self.painted(page, picture, scripts) as (_, seconds):
            return seconds

    @contextmanager
    def painted(
        self, page: str, picture: str, scripts: Mapping[str, str] | None = None, patience_s: float = _PATIENCE_S
    ) -> Iterator[tuple[Any, float]]:
        """A page with its picture, and the seconds from the start of the navigation until that had been painted.

        The browser has no cache of what it showed before.

        Args:
            page: path of the page below the folder that is served.
            picture: JavaScript that is true as soon as the picture is on the page.
            scripts: what to answer where the page asks another machine for a script, by the file's name.
            patience_s: how long it may take.

        Raises:
            PaintError: the page failed, or showed nothing in that time.
        """
        from playwright.sync_api import Error

        faults: list[str] = []
        patience = 1000 * patience_s
        with ExitStack() as undo:
            try:
                context = self._browser.new_context(viewport={"width": 1280, "height": 1000})
                undo.callback(_close, context)
                shown = context.new_page()
                shown.on("pageerror", lambda error: faults.append(str(error)))
                for name, text in (scripts or {}).items():
                    shown.route(f"https://**/{name}", partial(_answer, text))
                shown.add_init_script(_WATCH.replace("PICTURE", picture))
                shown.goto(f"{self._address}/{page}", wait_until="commit", timeout=patience)
                found = shown.wait_for_function("window.firstPaint", polling=100, timeout=patience)
                seconds = float(found.json_value()) / 1000
            except Error as error:
                raise PaintError("; ".join([error.message.splitlines()[0], *faults])) from error
            yield shown, seconds


def _close(context: Any) -> None:
    """Of a browser that is gone, nothing is open."""
    from playwright.sync_api import Error

    with suppress(Error):
        context.close()


def changed(page: Any, act: str, done: str, patience_s: float) -> float:
    """Seconds from an act on a page that shows a picture until what it asks for has been painted.

    Args:
        page: Playwright's.
        act: JavaScript that does what a click or a choice in a list does.
        done: JavaScript that is true when the page has what was asked for.
        patience_s: how long it may take.

    Raises:
        PaintError: the page failed, or was not done in that time.
    """
    from playwright.sync_api import Error

    try:
        page.evaluate(_CHANGE.replace("ACT", act).replace("DONE", done))
        found = page.wait_for_function("window.changed", polling=100, timeout=1000 * patience_s)
        return float(found.json_value()) / 1000
    except Error as error:
        raise PaintError(error.message.splitlines()[0]) from error


def _answer(script: str, route: Any) -> None:
    route.fulfill(body=script, content_type="text/javascript", headers={"Access-Control-Allow-Origin": "*"})


class PaintError(Exception):
    """No picture; the text says why."""


def chrome() -> str:
    """The path of this machine's Chrome or Chromium.

    Raises:
        PaintError: it has none that starts.
    """
    path = os.environ.get(browsers.VARIABLE) or next(
        (name for name in browsers.candidates(sys.platform, os.environ) if browsers.works(name)), None
    )
    if path is None:
        raise PaintError(f"no Chrome or Chromium was found; set {browsers.VARIABLE} to the path of one")
    return path


@contextmanager
def painter(folder: Path) -> Iterator[Painter]:
    """A browser that shows pages of `folder`.

    Raises:
        PaintError: this machine has no Chrome or Chromium that starts, or Playwright is missing.
    """
    path = chrome()
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise PaintError('playwright is missing; run `pip install -e ".[test]"`') from error
    sandbox = ["--no-sandbox"] if is_root() else []  # Chromium refuses to run as root with its sandbox
    with ExitStack() as undo:
        address = undo.enter_context(_served(folder))
        playwright = undo.enter_context(sync_playwright())
        try:
            browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, CUT_OFF, *sandbox])
        except Error as error:
            raise PaintError(f"{path} did not start: {error.message.splitlines()[0]}") from error
        undo.callback(browser.close)
        yield Painter(browser, address)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Says nothing: the tables are the output."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The folder under an address of this machine: a module script cannot be read from a file."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
