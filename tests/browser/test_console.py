# SPDX-License-Identifier: Apache-2.0
"""The console in a browser, over a whole running platform."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Demo, OpenWindow
from tests.browser.window import Window

APP = "/apps/demo"
PAGES = {
    "overview": "/",
    "applications": "/apps",
    "platform": "/platform",
    "application": APP,
    "devices": f"{APP}/devices",
    "device": f"{APP}/device?name=sensor-1",
    "telemetry": f"{APP}/telemetry",
    "events": f"{APP}/events",
    "processor": f"{APP}/processor",
    "dead-letters": f"{APP}/dead-letters",
    "commands": f"{APP}/commands",
    "settings": f"{APP}/settings",
}


def last_value(window: Window, device: str, field: str) -> str:
    """What the telemetry page shows as the newest value of a series."""
    script = """
        for (const label of document.querySelectorAll("#series label")) {
          const [name, device] = label.querySelector(".fh-field").innerText.split("\\n");
          if (name === arguments[1] && device === arguments[0]) return label.lastElementChild.textContent;
        }
        return "";
    """
    return str(window.run(script, device, field))


def number(text: str) -> float:
    return float(text.replace("\u202f", "") or "nan")


def set_source(window: Window, source: str) -> None:
    window.run("ace.edit(document.querySelector('.fh-editor')).setValue(arguments[0], -1)", source)


def test_sign_in_watch_a_value_move_edit_the_processor_and_see_the_new_value(
    demo: Demo, signed_in: Window, pictures: Path
) -> None:
    window, driver = signed_in, signed_in.driver
    assert "#" not in driver.current_url
    window.until(lambda: number(window.text("#kpi-accepted")) > 0, "events flow")

    driver.get(f"{demo.address}{APP}/telemetry")
    first = window.until(lambda: last_value(window, "sensor-1", "temperature"), "a value shows")
    window.until(lambda: last_value(window, "sensor-1", "temperature") != first, "the value moves")
    assert 5 < number(last_value(window, "sensor-1", "temperature")) < 40
    assert window.all(".uplot canvas")

    driver.get(f"{demo.address}{APP}/processor")
    window.until(lambda: window.all(".ace_editor"), "the editor is there")
    source = str(window.run("return document.getElementById('source').value"))
    warmer = re.sub(r"kelvin - 273\.15\b", "kelvin - 273.15 + 1000", source)
    assert warmer != source
    set_source(window, warmer)
    assert window.one("#changed").is_displayed()

    window.one("#try").click()
    window.until(lambda: "went well" in window.text("#trial"), "the test run ends")
    results = [float(found) for found in re.findall(r'"temperature": (\d+\.\d+)', window.text("#trial"))]
    assert results
    assert all(result > 1000 for result in results)
    window.picture(pictures, "processor-tried")

    window.one("button[value=activate]").click()
    window.until(lambda: "done" not in driver.current_url and "Version 2" in window.text("main"), "it is saved")
    assert "Version activated" in window.text("#toasts")

    driver.get(f"{demo.address}{APP}/telemetry")
    window.until(lambda: number(last_value(window, "sensor-1", "temperature")) > 1000, "the new value shows")
    window.picture(pictures, "telemetry-after-the-change")
    assert window.complaints() == []


def test_a_command_switches_the_lamp_and_its_event_shows_live(demo: Demo, signed_in: Window) -> None:
    window, driver = signed_in, signed_in.driver
    driver.get(f"{demo.address}{APP}/commands?device=led")
    window.one("#command-name").send_keys("led")
    window.one("#command-payload").send_keys('{"on": true, "by": "hand"}')
    window.one("form button.btn-primary[type=submit]").click()
    window.until(lambda: "was accepted" in window.text("#command-sent"), "the command is accepted")
    window.until(lambda: re.search(r"sent|acknowledged", window.text("#history tbody tr")), "it reaches the lamp")

    driver.get(f"{demo.address}{APP}/events?device=led")
    window.until(lambda: window.all("#events > li"), "the lamp's events show")
    window.one("#events summary").click()
    shown = window.until(lambda: window.text("#events .fh-event-body pre"), "the payload opens")
    assert '"on":' in shown or '"connected":' in shown
    assert window.text("#event-stream [data-text]") == "live"
    assert window.complaints() == []


def test_pausing_holds_events_back_and_resuming_shows_them(demo: Demo, signed_in: Window) -> None:
    window = signed_in
    window.driver.get(f"{demo.address}{APP}/events?type=io.drogue.event.v1")
    window.until(lambda: window.all("#events > li"), "events show")
    window.one("#pause").click()
    count = len(window.all("#events > li"))
    window.until(lambda: re.search(r"Resume \(\d+\)", window.text("#pause")), "events are held back")
    assert len(window.all("#events > li")) == count
    window.one("#pause").click()
    window.until(lambda: len(window.all("#events > li")) > count, "they show after all")
    assert window.complaints() == []


def test_a_first_device_from_nothing(demo: Demo, signed_in: Window, pictures: Path) -> None:
    window, driver = signed_in, signed_in.driver
    driver.get(f"{demo.address}/apps")
    window.one("[data-dialog=new-application]").click()
    window.one("#application-name").send_keys("first-steps", Keys.ENTER)
    window.until(lambda: driver.current_url.endswith("/apps/first-steps"), "the application opens")
    window.one(".fh-empty [data-dialog=new-device]").click()
    window.one("#device-name").send_keys('<img src=x> "my" boiler')
    window.one("#new-device [type=submit]").click()
    window.until(lambda: window.all("#new-secret"), "the secret shows")
    secret = window.text("#new-secret")
    assert secret in window.text("#snippet-curl")
    window.picture(pictures, "secret")
    window.one("[data-copy=snippet-curl]").click()
    window.until(lambda: window.text("#announcer") in {"Copied", "Selected: press Ctrl+C"}, "copying is told")
    window.one("#new-device .btn-primary[data-close]").click()
    window.until(lambda: not window.all("#new-secret"), "the secret is gone")
    assert secret not in driver.page_source

    driver.get(f"{demo.address}/apps/first-steps/settings")
    window.one("[data-dialog=delete-application]").click()
    button = window.one("#delete-application [type=submit]")
    assert not button.is_enabled()
    window.one("#delete-application input").send_keys("first-steps")
    assert button.is_enabled()
    button.click()
    window.until(lambda: "Application deleted" in window.text("#toasts"), "it is deleted")
    assert window.complaints() == []


def test_keyboard_skip_link_dialog_escape_and_theme(demo: Demo, signed_in: Window) -> None:
    window, driver = signed_in, signed_in.driver
    driver.get(f"{demo.address}/apps")
    active = driver.switch_to.active_element
    active.send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "Skip to content"
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert window.run("return document.activeElement.id") == "content"

    opener = window.one("[data-dialog=new-application]")
    opener.send_keys(Keys.ENTER)
    window.until(lambda: window.one("#new-application").is_displayed(), "the dialog opens")
    for _ in range(8):  # the focus stays inside
        driver.switch_to.active_element.send_keys(Keys.TAB)
        assert window.run(
            "return document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    window.one("#application-name").send_keys(Keys.ESCAPE)
    window.until(lambda: not window.one("#new-application").is_displayed(), "Escape closes it")
    assert window.run("return document.activeElement.dataset.dialog") == "new-application"

    for theme in ("dark", "light"):
        window.one(f"[data-theme-set={theme}]").click()
        driver.refresh()
        assert window.run("return document.documentElement.dataset.bsTheme") == theme
        assert window.one(f"[data-theme-set={theme}]").get_attribute("aria-pressed") == "true"
    window.one("[data-theme-set=auto]").click()
    assert window.complaints() == []


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_fits_its_window_without_a_complaint(
    demo: Demo, signed_in: Window, open_window: OpenWindow, pictures: Path, width: int, dark: bool
) -> None:
    window = open_window(width, dark=dark)
    window.driver.get(f"{demo.address}/signin")
    window.picture(pictures, "sign-in")
    window.adopt_session(signed_in)
    faults = {}
    for name, path in PAGES.items():
        window.driver.get(f"{demo.address}{path}")
        if name in {"overview", "telemetry", "device"}:
            window.until(lambda: window.all(".uplot canvas"), f"{name} draws its chart")
        if name == "events":
            window.until(lambda: window.all("#events > li"), "events show")
        window.run("return new Promise((done) => setTimeout(done, 700))")
        assert window.run("return document.documentElement.dataset.bsTheme") == ("dark" if dark else "light")
        window.picture(pictures, name)
        found = window.complaints()
        if (too_wide := window.overflow()) > 0:
            found.append(f"{too_wide} px too wide")
        if found:
            faults[name] = found
    if width == 360:
        window.one("#nav-toggle").click()
        assert window.one("#sidebar-menu").is_displayed()
        window.picture(pictures, "menu")
    assert faults == {}


def test_signing_out_ends_it(demo: Demo, open_window: OpenWindow, signed_in: Window) -> None:
    window = open_window(360)
    window.driver.get(demo.link)  # the link was used already
    window.until(lambda: "used already" in window.text("main"), "a used link is explained")
    window.driver.get(demo.address)
    window.until(lambda: window.driver.current_url.endswith("/signin"), "nobody sees the overview")


@pytest.mark.skipif("FREEHOLD_AXE" not in os.environ, reason="FREEHOLD_AXE names no axe.min.js (npm axe-core)")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_barrier(demo: Demo, signed_in: Window, open_window: OpenWindow, dark: bool) -> None:
    axe = Path(os.environ["FREEHOLD_AXE"]).read_text()
    window = open_window(1440, dark=dark)
    window.driver.get(f"{demo.address}/signin")
    window.adopt_session(signed_in)
    found = {}
    for name, path in PAGES.items():
        window.driver.get(f"{demo.address}{path}")
        window.run(axe)
        violations = window.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document).then((r) => done(r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)])))"
        )
        if violations:
            found[name] = violations
    assert found == {}
