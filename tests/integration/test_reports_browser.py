"""Reports in a real browser: they load, ask for nothing, run nothing, and fit a phone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver

from segflow.report import compare, draw
from tests.requirements import require_tool
from tests.unit.report import folders

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
_DESKTOP = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}

# The lowest contrast of any text with what it stands on, as WCAG 2 defines it.
_LOWEST_CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(color) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}
function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = rgba(getComputedStyle(e).backgroundColor);
    if (color[3] == 255) return color;
  }
}
const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let lowest = [99, ''];
while (nodes.nextNode()) {
  const text = nodes.currentNode.textContent.trim(), element = nodes.currentNode.parentElement;
  if (!text) continue;
  const style = getComputedStyle(element);
  const ink = element instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [luminance(rgba(ink)), luminance(ground(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < lowest[0]) lowest = [contrast, text];
}
return lowest;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = require_tool("chromium")
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(require_tool("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=[*folders.KINDS, "comparison"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report of each kind, and of a page that compares models."""
    folder = tmp_path_factory.mktemp("kind")
    if request.param == "comparison":
        return compare(folders.write_models(folder), folder / "compare.html").as_uri()
    return draw(folders.KINDS[request.param](folder)).as_uri()


def _open(browser: webdriver.Chrome, address: str, **metrics: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)


def _prefer(browser: webdriver.Chrome, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _requests(browser: webdriver.Chrome) -> set[str]:
    """Addresses asked for since the last call, pictures inside the page left out."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = (m["params"] for m in messages if m["method"] == "Network.requestWillBeSent")
    addresses = {event["request"]["url"] for event in sent}
    return {address for address in addresses if not address.startswith("data:")}


def test_it_loads_quietly_and_asks_for_nothing(browser: webdriver.Chrome, report: str) -> None:
    _open(browser, "about:blank", **_DESKTOP)
    browser.get_log("browser")
    _requests(browser)
    _open(browser, report, **_DESKTOP)
    widths = browser.execute_script("return [...document.images].map(i => i.naturalWidth)")
    plots = browser.execute_script("return document.querySelectorAll('svg.plot').length")
    assert len(widths) >= 8 or (plots >= 2 and not widths)  # a comparison has plots alone
    assert all(widths)
    assert browser.get_log("browser") == []
    assert _requests(browser) == {report}


def test_names_are_text_and_run_nothing(browser: webdriver.Chrome, report: str) -> None:
    _open(browser, report, **_DESKTOP)  # an open alert would make the next call raise
    shown = browser.execute_script("return document.body.innerText")
    assert "<script>alert(1)" in shown
    assert "house & <b>yard</b>" in shown
    assert browser.execute_script("return document.scripts.length") == 0


def test_it_fits_a_phone(browser: webdriver.Chrome, report: str) -> None:
    _open(browser, report, **_PHONE)
    width, lowest, tallest = browser.execute_script(
        "return [document.documentElement.scrollWidth, Math.min(...[...document.querySelectorAll("
        "'p, li, td, th, dd, dt, figcaption')].map(e => parseFloat(getComputedStyle(e).fontSize))),"
        "Math.max(0, ...[...document.querySelectorAll('tbody tr')].map(e => e.offsetHeight))]"
    )
    assert width <= 391
    assert lowest >= 12  # pixels
    assert tallest <= 250  # no cell is squeezed to a letter a line


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(
    browser: webdriver.Chrome, report: str, scheme: str
) -> None:
    _prefer(browser, scheme)
    _open(browser, report, **_DESKTOP)
    contrast, text = browser.execute_script(_LOWEST_CONTRAST)
    assert contrast >= 4.5, text
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
