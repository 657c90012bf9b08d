"""`isthmus explore`: open a page in the browser that shows what models do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import add_data_dir, add_short
from isthmus.errors import RequestError

if TYPE_CHECKING:
    from isthmus.explore.folder import Gallery

_EXAMPLES = """
    isthmus explore runs/digits
    isthmus explore my-model photographs/
    isthmus explore runs/digits --allow-origin https://hub.example/user/me/proxy/8765/
"""


def add(commands: Any) -> None:
    """The parser of `isthmus explore`."""
    command = add_short(
        commands,
        "explore",
        run,
        "open a page in the browser that shows what models do, and why",
        _EXAMPLES,
    )
    command.add_argument("path", type=Path, metavar="RUN|MODEL", help="a run's folder, like runs/digits, or a model's")
    command.add_argument(
        "data", nargs="?", metavar="DATA", help="for a model: its images, where it does not find those it was fitted on"
    )
    command.add_argument("--port", type=int, default=8765, metavar="N", help="if it is taken, the next free one (8765)")
    command.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="listen here; other machines need a token (127.0.0.1)"
    )
    command.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="a proxy's address at which the page is opened too, like https://hub.example/user/me/proxy/8765/; "
        "then it needs a token. May be given several times",
    )
    command.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    add_data_dir(command)
    command.set_defaults(interrupted="")  # it leaves nothing to go on from


def run(options: argparse.Namespace) -> None:
    try:
        from isthmus.explore.serving.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise RequestError(f"isthmus explore needs {error.name}: pip install 'isthmus[explore]'") from None
    from isthmus.commands.images.inputs import existing, is_named

    if options.data is not None and not is_named(options.data):
        existing(options.data)  # refused before there is a page

    def gallery(model: Path) -> Gallery:
        from isthmus.commands.images.gallery import gallery_of  # which takes seconds to import

        return gallery_of(model, options.data, options.data_dir)

    wanted = {"host": options.host, "port": options.port, "browser": not options.no_browser}
    shown = {"alone": options.data is not None, "gallery": gallery, "allow_origins": options.allow_origin}
    serve(options.path, data_dir=options.data_dir, **shown, **wanted)
