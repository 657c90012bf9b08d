"""The pictures of README and docs: the page of `isthmus explore`, docs/explore-*.png, and a report, docs/report.png.

    isthmus run digits
    isthmus run letters --keep-states
    python -m benchmarks.page_pictures runs/digits [--out docs]
    python -m benchmarks.page_pictures runs/letters [--out docs]

Needs Chromium (`make browser`). Run it after a change of a page, and look at what it wrote; `--only report` for one.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.explore import ready, serve, stop
from isthmus.studies.results.results_json import read_results

# by study, name -> (the view's address, its height, light or dark, what must be there)
VIEWS = {
    "letters": {
        "letters": ("image=2&level=0.4", 850, "light", "text=denoises this image best"),
        "epochs": ("image=2&epoch=4", 850, "light", ".epochs output:has-text('4 / 60')"),
    },
    "digits": {
        "inside": ("view=inside&model=sparse-128-warm&image=2", 850, "light", "#inside .thumbs button"),
        "space": ("view=space&model=deep-2&image=4&level=0.2&from=3&to=5", 1000, "dark", "text=at this image"),
        "compare": ("view=compare&image=2&level=0.3", 900, "light", "#compare .says:has-text('Means over')"),
    },
}


def point(page: Page) -> None:
    """Point at a place on the map, where the decoder then draws."""
    box = page.locator("#space canvas.plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.55 * box["height"])
    page.wait_for_selector("text=under the pointer")
    page.click("#space button:has-text('Walk from')")


def write_report_picture(browser: Browser, run: Path, out: Path) -> None:
    """The top of the run's report, down to the contents."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.goto((run / "report.html").resolve().as_uri())
    below = page.locator("nav").bounding_box()
    assert below is not None
    page.screenshot(path=out / "report.png", clip={"x": 0, "y": 0, "width": 1280, "height": below["y"] - 8})
    page.close()


def write_views(browser: Browser, views: dict[str, tuple[str, int, str, str]], run: Path, out: Path) -> None:
    """Views of the page of `isthmus explore`."""
    process, address = serve(run)
    try:
        for name, (view, height, scheme, there) in views.items():
            page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme=scheme)
            page.set_default_timeout(120_000)
            ready(page, f"{address}#{view}")
            page.wait_for_selector(there)
            page.wait_for_function("() => !document.querySelector('#compare .busy')?.textContent")
            if name == "space":
                point(page)
            page.wait_for_timeout(1000)
            page.screenshot(path=out / f"explore-{name}.png")
            page.close()
    finally:
        stop(process)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of `isthmus run digits` or `letters`")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--only", choices=("report", *(name for views in VIEWS.values() for name in views)))
    options = parser.parse_args()
    study = read_results(options.run).study
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        if study == "letters" and options.only in ("report", None):
            write_report_picture(browser, options.run, options.out)
        views = {name: view for name, view in VIEWS[study].items() if options.only in (name, None)}
        if views:
            write_views(browser, views, options.run, options.out)
        browser.close()


if __name__ == "__main__":
    main()
