# SPDX-License-Identifier: Apache-2.0
"""A browser window that remembers every complaint: console errors, breaches of the policy, broken promises."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

HEIGHT = 900
WAIT_SECONDS = 60
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

# Runs before any script of the page, and not under its policy.
_WATCH = """
window.complaints = [];
addEventListener("securitypolicyviolation", (e) => complaints.push(`policy: ${e.violatedDirective} ${e.blockedURI}`));
addEventListener("error", (e) => complaints.push(`error: ${e.message ?? e.target?.src ?? "?"}`), true);
addEventListener("unhandledrejection", (e) => complaints.push(`promise: ${e.reason}`));
"""


class Window:
    """Chromium at one width, light or dark."""

    def __init__(self, driver: str, binary: str, profile: Path, *, width: int, dark: bool) -> None:
        options = Options()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={max(width, 500)},{HEIGHT}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.width, self.name = width, f"{width}-{'dark' if dark else 'light'}"
        self._tell("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._tell("Emulation.setEmulatedMedia", features=features)
        # Headless windows have a least width; phones do not.
        self._tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=HEIGHT, deviceScaleFactor=1, mobile=width < 500
        )

    def _tell(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def close(self) -> None:
        self.driver.quit()

    def adopt_session(self, other: Window) -> None:
        """Be signed in as `other` is; this window must be on the same site."""
        cookie = other.driver.get_cookie("freehold_session")
        assert cookie is not None
        self._tell("Network.setCookie", name=cookie["name"], value=cookie["value"], url=other.driver.current_url)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Text of the first match, hidden or not; empty where there is none."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.driver.execute_script(script, selector)).strip()

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> Any:
        """The first true value of `condition`; elements that were replaced meanwhile are looked for again."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if value := condition():
                    return value
            except Exception as cause:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{what}: {cause}") from cause
            if time.monotonic() > deadline:
                body = self.run("return document.body.innerText")
                raise AssertionError(f"{what}; the page says:\n{str(body)[:3000]}")
            time.sleep(0.1)

    def picture(self, folder: Path, name: str) -> None:
        """The whole page, at most four screens of it."""
        size = self._tell("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4 * HEIGHT), "scale": 1}
        png = self._tell("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        (folder / f"{name}-{self.name}.png").write_bytes(base64.b64decode(png["data"]))

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.run("return document.documentElement.scrollWidth - window.innerWidth"))

    def complaints(self) -> list[str]:
        """What went wrong on this page since it was loaded, and in the log since it was last asked."""
        found = [str(one) for one in self.run("return window.complaints ?? []")]
        self.run("window.complaints = []")
        logged = self.driver.get_log("browser")
        return found + [entry["message"] for entry in logged if entry["level"] in {"SEVERE", "WARNING"}]
