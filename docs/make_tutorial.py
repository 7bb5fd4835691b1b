"""Brings the tutorial up to date: its pictures and the outputs it shows are those of a demo.

Run `make demo > demo.log 2>&1 && .venv/bin/python docs/make_tutorial.py demo demo.log`.
"""

import argparse
import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

# Picture, the demo's folder, and the heading of the section it shows.
SECTIONS = (
    ("classes", "dataset", "Classes"),
    ("examples", "dataset", "Examples"),
    ("curves", "model", "Learning curves"),
    ("worst-and-best", "evaluation", "Worst, median, best"),
    ("confusion", "evaluation", "Confusion"),
    ("labelled", "labels", "Images"),
)
_WIDTH, _LARGEST_HEIGHT = 1000, 900  # pixels


def main() -> None:
    """Writes `docs/images/*.jpg` and the outputs in `docs/tutorial.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="the folder that `segflow demo` wrote")
    parser.add_argument("log", type=Path, help="what it said")
    arguments = parser.parse_args()
    _write_pictures(arguments.demo)
    page = Path(__file__).with_name("tutorial.md")
    page.write_text(with_outputs(page.read_text(), arguments.log.read_text()))


def with_outputs(page: str, log: str) -> str:
    """The page with each command's output as in a demo's log; its commands stay as they are.

    Raises:
        KeyError: The page shows a command that the demo has not run, `verify` apart.
    """
    said = dict(re.findall(r"^\$ segflow (\w+) .*\n((?:.+\n)+)", log, re.MULTILINE))

    def replaced(block: re.Match[str]) -> str:
        command, name = block[1], block[2]
        output = block[3] if name == "verify" else said[name]
        return f"```console\n{command}{output}```"

    # A command may go on in the next line, behind a backslash.
    command = r"(\$ segflow (\w+) (?:.*\\\n)*.*\n)"
    return re.sub(rf"```console\n{command}((?:.*\n)*?)```", replaced, page)


def _write_pictures(demo: Path) -> None:
    target = Path(__file__).parent / "images"
    target.mkdir(exist_ok=True)
    with _browser() as browser:
        for name, folder, heading in SECTIONS:
            browser.get((demo / folder / "report.html").absolute().as_uri())
            where = f"//section[h2[normalize-space()='{heading}']]"
            section = browser.find_element(By.XPATH, where)
            picture = Image.open(io.BytesIO(section.screenshot_as_png)).convert("RGB")
            height = min(picture.height, _LARGEST_HEIGHT)
            path = target / f"{name}.jpg"
            picture.crop((0, 0, picture.width, height)).save(path, quality=80, optimize=True)


@contextmanager
def _browser() -> Iterator[webdriver.Chrome]:
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars", "no-first-run"):
            options.add_argument(f"--{flag}")
        options.add_argument("--disable-background-networking")
        options.add_argument(f"--user-data-dir={profile}")
        options.add_argument(f"--window-size={_WIDTH},{_LARGEST_HEIGHT}")
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        browser = webdriver.Chrome(options=options, service=service)
        try:
            yield browser
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
