"""The pictures of the page of `isthmus explore` in README, docs/explore-*.png, as it looks now.

    isthmus run digits
    python -m benchmarks.page_pictures runs/digits [--out docs]

Needs Chromium (`make browser`). Run it after a change of the page, and look at what it wrote.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.explore import ready, serve, stop

# name -> (the view's address, its height, light or dark, what must be there)
VIEWS = {
    "models": ("image=2&level=0.3&sort=error", 800, "light", "#models .says b"),
    "inside": ("view=inside&model=sparse-128-warm&image=2", 850, "light", "#inside .thumbs button"),
    "space": ("view=space&model=deep-2&image=4&level=0.2&from=3&to=5", 1000, "dark", "text=at this image"),
    "compare": ("view=compare&image=2&level=0.3", 900, "light", "#compare .says:has-text('Means over')"),
}


def point(page: Page) -> None:
    """Point at a place on the map, where the decoder then draws."""
    box = page.locator("#space canvas.plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.55 * box["height"])
    page.wait_for_selector("text=under the pointer")
    page.click("#space button:has-text('Walk from')")


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of `isthmus run digits`")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    process, address = serve(options.run)
    try:
        with sync_playwright() as p:
            executable = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            for name, (view, height, scheme, there) in VIEWS.items():
                page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme=scheme)
                page.set_default_timeout(120_000)
                ready(page, f"{address}#{view}")
                page.wait_for_selector(there)
                page.wait_for_function("() => !document.querySelector('#compare .busy')?.textContent")
                if name == "space":
                    point(page)
                page.wait_for_timeout(1000)
                page.screenshot(path=options.out / f"explore-{name}.png")
                page.close()
            browser.close()
    finally:
        stop(process)


if __name__ == "__main__":
    main()
