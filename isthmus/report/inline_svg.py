"""Matplotlib's figures as SVG within a page: in the page's colours, light or dark, with letters that stay readable."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text

from isthmus.report.plots import COLOURS, FAINT, FAINT_LINE, GRID, INK

PIXELS_PER_INCH = 96  # of the page
_LEAST = 10  # pixels of the page that letters are high; a figure is not shown any smaller, it is scrolled
_MANY = 1500  # points, from which on they are a picture
_VARIABLES = {
    **{INK: "ink", "#000000": "ink", FAINT: "soft", FAINT_LINE: "soft", GRID: "line"},
    **{colour: f"c{i}" for i, colour in enumerate(COLOURS)},
}
_RED, _BLUE, _GREY = np.array([214, 64, 43]), np.array([38, 124, 208]), np.array([128, 128, 128])
_LEAST_ALPHA = 0.08  # with which a weight of zero is seen to be there
_BAD_ALPHA = 0.4
_SVG, _HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def inline_svg(
    figure: Figure, name: str, alt: str, pixels_per_inch: float = PIXELS_PER_INCH, *, shrinks: bool = True
) -> str:
    """An <svg> element for a page that defines --ink, --soft, --line and --c0, --c1 … as colours.

    name: of the figure, one of its kind in the page: ids begin with it. alt: what it shows. shrinks: on a narrow page,
    as far as its letters can be read. Images in it are PNG, a pixel for each of theirs. The same figure gives the same
    text, which needs nothing from outside.
    """
    for axes in figure.axes:
        for image in axes.images:
            image.set_interpolation("none")  # as they are: the page enlarges them
            image.set_cmap(_on_any_ground(image.get_cmap()))
    for axes in figure.axes:
        for points in axes.collections:
            is_large = (
                isinstance(points, QuadMesh) or len(np.asarray(points.get_offsets())) > _MANY
            )  # a colour bar is a mesh
            points.set_rasterized(is_large)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "isthmus"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", pad_inches=0.04, transparent=True, dpi=160, metadata=nothing
        )
    root = ElementTree.fromstring(buffer.getvalue())
    _clip_by_frames(root)
    _rename(root, name)
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    shown = width / 72 * pixels_per_inch
    least = shown * min(1.0, _LEAST / (_smallest(figure) / 72 * pixels_per_inch)) if shrinks else shown
    root.attrib.clear()
    root.attrib |= {
        "role": "img",
        "aria-label": alt,
        "viewBox": f"0 0 {width:g} {height:g}",
        "style": f"width:{shown:.0f}px;min-width:{least:.0f}px",
    }
    return ElementTree.tostring(root, "unicode")


def _on_any_ground(colours: Colormap) -> Colormap:
    """The colour map in which zero, and places without a number, let the page through, whether it is light or dark."""
    if colours.name == "RdBu_r":
        t = np.linspace(-1, 1, 255)[:, None]
        strength = np.abs(t)
        full = np.where(t > 0, _RED, _BLUE)
        mixed = _GREY + (full - _GREY) * np.minimum(1, 4 * strength)
        return ListedColormap(np.hstack([mixed / 255, _LEAST_ALPHA + (1 - _LEAST_ALPHA) * strength]))
    bad = np.asarray(colours.get_bad())
    if bad[3] < 1:
        return colours
    return colours.with_extremes(bad=(*(1 - (1 - bad[:3]) / _BAD_ALPHA), _BAD_ALPHA))  # the same colour on white


def _smallest(figure: Figure) -> float:
    """The points of the smallest letters that are seen."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text().strip()]
    return min((float(text.get_fontsize()) for text in texts), default=8.0)


def _clip_by_frames(root: ElementTree.Element) -> None:
    """Put what a rectangle clips into an <svg> of its own: an address that begins with url( could lead elsewhere."""
    frames = {}
    for path in root.iter(f"{_SVG}clipPath"):
        rectangle = path[0]
        if "width" not in rectangle.attrib:  # of another shape, which is left unclipped
            continue
        frames[f"url(#{path.attrib['id']})"] = [rectangle.attrib[key] for key in ("x", "y", "width", "height")]
    for parent in list(root.iter()):
        for i, element in enumerate(parent):
            if frame := frames.get(element.attrib.pop("clip-path", "")):
                x, y, width, height = frame
                place = {"x": x, "y": y, "width": width, "height": height, "viewBox": " ".join(frame)}
                parent[i] = ElementTree.Element("svg", place)
                parent[i].append(element)


def _rename(root: ElementTree.Element, name: str) -> None:
    """Take away what the page does not need, name ids by the figure and colours by what they are for."""
    ids: dict[str, str] = {}
    for element in root.iter():
        target = element.attrib.get(_HREF, "")
        if target.startswith("#"):
            ids.setdefault(target[1:], f"{name}-{len(ids)}")
    for parent in list(root.iter()):
        for element in list(parent):
            if element.tag.removeprefix(_SVG) in ("metadata", "clipPath", "style"):
                parent.remove(element)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        if (identity := element.attrib.pop("id", None)) in ids:
            element.attrib["id"] = ids[identity]
        if target := element.attrib.pop(_HREF, ""):
            element.attrib["href"] = f"#{ids[target[1:]]}" if target.startswith("#") else target
        for key in ("style", "fill", "stroke"):
            if key in element.attrib:
                element.attrib[key] = _in_page_colours(element.attrib[key])
        for key in ("d", "x", "y"):
            if key in element.attrib:
                element.attrib[key] = re.sub(
                    r"\d+\.\d{3,}", lambda digits: f"{float(digits[0]):.2f}", element.attrib[key]
                )
        if element.text and not element.text.strip():
            element.text = None
        element.tail = None


def _in_page_colours(style: str) -> str:
    style = re.sub(r"#[0-9a-f]{6}", lambda colour: _page_colour(colour[0]), style)
    style = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", style)
    return re.sub(r"font-family: [^;]*;? ?", "", style)


def _page_colour(colour: str) -> str:
    return f"var(--{_VARIABLES[colour]})" if colour in _VARIABLES else colour
