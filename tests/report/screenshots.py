"""Take the pictures of README and docs: `python -m tests.report.screenshots artifacts/report/index.html docs/images`.

The browser is driven as in the tests: what is on a picture is what a user sees.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import time
from pathlib import Path

from tests.report.browser import Page, browser

PATIENCE = 60.0


def picture(page: Page, target: Path, anchor: str, height: int) -> None:
    """The part of the page from an element on."""
    top = page.evaluate(f"document.querySelector({anchor!r}).getBoundingClientRect().top + scrollY")
    width = page.evaluate("document.documentElement.clientWidth")
    clip = {"x": 0, "y": max(top - 16, 0), "width": width, "height": height, "scale": 1}
    shot = page.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
    target.write_bytes(base64.b64decode(shot["data"]))


def main() -> None:
    """Open the report in light and dark, on a desk and on a phone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    wanted = [
        ("report", "h1", 1280, False, 1500), ("report-instances", "#instances", 1280, False, 900),
        ("report-phone", "h1", 390, True, 844),
    ]  # fmt: skip
    for name, anchor, width, dark, height in wanted:
        with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as page:
            page.open(options.report.absolute().as_uri(), width, dark)
            end = time.monotonic() + PATIENCE
            while page.evaluate("document.documentElement.dataset.charts") != "drawn":
                assert time.monotonic() < end, page.messages
                time.sleep(0.1)
            picture(page, options.out / f"{name}.png", anchor, height)
            print(options.out / f"{name}.png")


if __name__ == "__main__":
    main()
