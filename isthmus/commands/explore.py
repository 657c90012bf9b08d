"""`isthmus explore`: look inside models, in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import add_allow_imports, add_data_dir, add_short
from isthmus.errors import needing

if TYPE_CHECKING:
    from isthmus.explore.folder import Gallery

_EXAMPLES = """
    isthmus explore runs/digits
    isthmus explore my-model photographs/
    isthmus explore restorer photographs/ --beside another-restorer
    isthmus explore runs/digits --allow-origin https://hub.example/user/me/proxy/8765/
"""


def add(commands: Any) -> None:
    """The parser of `isthmus explore`."""
    command = add_short(
        commands,
        "explore",
        run,
        "look inside models, in the browser",
        _EXAMPLES,
    )
    command.add_argument("path", type=Path, metavar="RUN|MODEL", help="a run's folder, like runs/digits, or a model's")
    command.add_argument(
        "data", nargs="?", metavar="DATA", help="images for a model, if those that it was fitted on are not found"
    )
    command.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="MODEL",
        help="another denoiser of photographs, to compare; may be given several times",
    )
    command.add_argument("--port", type=int, default=8765, metavar="N", help="port, or the next free one (8765)")
    command.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="address to listen on; other machines need a token (127.0.0.1)"
    )
    command.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="the address of a proxy, like https://hub.example/user/me/proxy/8765/; the page then needs a token; "
        "may be given several times",
    )
    command.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    add_allow_imports(command)
    add_data_dir(command)
    command.set_defaults(interrupted="")  # there is nothing to resume


def run(options: argparse.Namespace) -> None:
    with needing("explore", "isthmus explore", "starlette", "uvicorn"):
        from isthmus.explore.serving.server import serve
    from isthmus.commands.images.inputs import existing, is_named

    if options.data is not None and not is_named(options.data):
        existing(options.data)  # refused before the page opens

    def gallery(model: Path) -> Gallery:
        from isthmus.commands.images.gallery import gallery_of  # which takes seconds to import
        from isthmus.commands.images.photograph_gallery import is_of_photographs, photograph_gallery

        if is_of_photographs(model):
            return photograph_gallery(model, options.data)
        return gallery_of(model, options.data, options.data_dir)

    wanted = {"host": options.host, "port": options.port, "browser": not options.no_browser}
    shown = {"alone": options.data is not None, "gallery": gallery, "allow_origins": options.allow_origin}
    serve(options.path, data_dir=options.data_dir, beside=options.beside, **shown, **wanted)
