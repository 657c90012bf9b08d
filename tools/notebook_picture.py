"""Run the cells of docs/howto/notebook.md by a Jupyter kernel, and take the page's picture of what they show.

    pip install ipykernel nbclient nbconvert
    python tools/notebook_picture.py [--out docs/notebook.png] [--dark]

Needs Chromium (`make browser`). Look at what it wrote.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from pathlib import Path

import nbclient
import nbformat
from nbconvert import HTMLExporter
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "howto" / "notebook.md"


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "notebook.png")
    parser.add_argument("--dark", action="store_true", help="as a dark notebook shows it")
    options = parser.parse_args()
    blocks = re.findall(r"^```python\n(.*?)\n```", PAGE.read_text("utf-8"), re.M | re.S)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(block) for block in blocks])
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": folder}})
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        client.execute(env={**os.environ, "PYTHONPATH": path})
        scheme = "dark" if options.dark else "light"
        shown, _ = HTMLExporter(template_name="lab", theme=scheme).from_notebook_node(book)
        html = Path(folder) / "notebook.html"
        html.write_text(shown, "utf-8")
        with sync_playwright() as p:
            executable = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 960, "height": 600}, color_scheme=scheme)
            page.goto(html.as_uri(), wait_until="load")
            page.wait_for_timeout(1000)
            page.screenshot(path=options.out, full_page=True)
            browser.close()


if __name__ == "__main__":
    main()
