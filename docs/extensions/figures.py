"""Pictures of the pages: `picture` draws one by a function of docs/pictures, and a scraper takes those of isthmus."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any, ClassVar

import matplotlib as mpl
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

from isthmus.displays.drawing import Display

FOLDER = "_pictures"
_DPI = 120


class Picture(Directive):
    """`picture:: MODULE.FUNCTION`: what the function of docs/pictures returns, with the content as its caption.

    It is drawn again where its module has changed.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        env = self.state.document.settings.env
        module, function = self.arguments[0].split(".")
        source = Path(env.srcdir) / "pictures" / f"{module}.py"
        env.note_dependency(str(source))
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        path = Path(env.srcdir) / FOLDER / f"{module}-{function}-{digest}.png"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            for former in path.parent.glob(f"{module}-{function}-*.png"):
                former.unlink()
            mpl.use("agg")
            figure: Figure = getattr(importlib.import_module(f"pictures.{module}"), function)()
            figure.savefig(path, dpi=_DPI, bbox_inches="tight")
        image = nodes.image(uri=f"/{FOLDER}/{path.name}", alt=self.options["alt"])
        figure_node = nodes.figure("", image)
        if self.content:
            caption = nodes.caption()
            inside = nodes.Element()
            self.state.nested_parse(self.content, self.content_offset, inside)
            caption += inside[0].children
            figure_node += caption
        return [figure_node]


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """The figures that a block of an example made without pyplot: displays, and matplotlib's own `Figure`."""
    made, seen = block_vars["example_globals"], block_vars["example_globals"].setdefault("_seen", [])
    seen += [manager.canvas.figure for manager in Gcf.get_all_fig_managers()]  # sphinx-gallery has a scraper for them
    paths = []
    for value in list(made.values()):
        figure = value.figure_ if isinstance(value, Display) else value
        if isinstance(figure, Figure) and not any(figure is other for other in seen):
            seen.append(figure)
            paths.append(next(block_vars["image_path_iterator"]))
            figure.savefig(paths[-1], dpi=_DPI, bbox_inches="tight")
    return figure_rst(paths, gallery_conf["src_dir"]) if paths else ""


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": False}
