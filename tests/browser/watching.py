"""A browser page under watch: what went wrong on it, and what it asked for outside this machine."""

from __future__ import annotations

import re
from urllib.parse import urlparse

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Route

# The machine itself, under each of its names; "data:" and "blob:" addresses have no host.
_THIS_MACHINE = {"127.0.0.1", "localhost", "::1", None}
# JupyterLab says these by itself, also where no panel is shown.
_JUPYTERLABS_OWN = re.compile(r"favicon\.ico")

# Counts the frames that the page sends to the server before the page's own scripts run, so that a test can tell
# what happened before the first of them.
_COUNT_FRAMES = """
window.framesSent = 0;
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (frame) {
    window.framesSent += 1;
    return send.call(this, frame);
};
"""


class Watched:
    """A page that remembers its errors.

    Attributes:
        page: the page.
        errors: uncaught errors, errors on the console, and dialogs of the browser that the page opened.
        outside: addresses off this machine that it asked for; they were not reached.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.errors: list[str] = []
        self.outside: list[str] = []
        context.route(lambda address: urlparse(address).hostname not in _THIS_MACHINE, self._refuse)
        context.add_init_script(_COUNT_FRAMES)
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        self.page.on("console", self._console)
        self.page.on("dialog", self._dialog)

    def assert_clean(self) -> None:
        """Fails where anything went wrong since the last call."""
        errors, self.errors = self.errors, []
        outside, self.outside = self.outside, []
        assert not errors, errors
        assert not outside, outside

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _JUPYTERLABS_OWN.search(f"{message.text} {message.location}"):
            self.errors.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.errors.append(f"{dialog.type} dialog: {dialog.message}")
        dialog.dismiss()

    def _refuse(self, route: Route) -> None:
        self.outside.append(route.request.url)
        route.abort()
