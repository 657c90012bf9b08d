"""`isthmus explore`: look inside models, in the browser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import add_allow_imports, add_data_dir, add_short
from isthmus.errors import RequestError, needing, require

if TYPE_CHECKING:
    from isthmus.explore.folder import Gallery

_EXAMPLES = """
    isthmus explore runs/digits
    isthmus explore my-model photographs/
    isthmus explore restorer photographs/ --beside another-restorer
    isthmus explore runs/digits --export digits.html
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
    command.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the page as one file, like page.html, that opens anywhere; no server is started",
    )
    command.add_argument("--force", action="store_true", help="replace an existing file of --export")
    add_allow_imports(command)
    add_data_dir(command)
    command.set_defaults(interrupted="")  # there is nothing to resume


def run(options: argparse.Namespace) -> None:
    from isthmus.commands.images.inputs import existing, is_named

    if options.export is not None:
        _check_file(options)
    else:
        require(not options.force, "--force", "given with --export", True)
        with needing("explore", "isthmus explore", "starlette", "uvicorn"):
            from isthmus.explore.serving.server import serve
    if options.data is not None and not is_named(options.data):
        existing(options.data)  # refused before the page opens

    def gallery(model: Path) -> Gallery:
        from isthmus.commands.images.gallery import gallery_of  # which takes seconds to import
        from isthmus.commands.images.photograph_gallery import is_of_photographs, photograph_gallery

        if is_of_photographs(model):
            return photograph_gallery(model, options.data)
        return gallery_of(model, options.data, options.data_dir)

    if options.export is not None:
        return _export(options, gallery)
    wanted = {"host": options.host, "port": options.port, "browser": not options.no_browser}
    shown = {"alone": options.data is not None, "gallery": gallery, "allow_origins": options.allow_origin}
    return serve(options.path, data_dir=options.data_dir, beside=options.beside, **shown, **wanted)


def _check_file(options: argparse.Namespace) -> None:
    """Raise RequestError for a file that cannot be written, before any model is loaded."""
    from isthmus.files import prepare_folder

    file = options.export
    require(file.suffix.lower() in (".html", ".htm"), "--export", "a file that ends in .html", str(file))
    if file.is_dir() or (file.exists() and not options.force):
        raise RequestError(f"{file} already exists; choose another name, or add --force to replace a file")
    prepare_folder(file.resolve().parent, 0, option="--export")


def _export(options: argparse.Namespace, gallery: Callable[[Path], Gallery]) -> None:
    """Write the page as one file."""
    from isthmus import console
    from isthmus.explore.folder import Run, look
    from isthmus.explore.shelf_loader import shelve
    from isthmus.explore.standalone.page_file import exported
    from isthmus.files import atomic_file

    target = look(options.path, options.data_dir, alone=options.data is not None)
    shelf = shelve(target, None if isinstance(target, Run) else gallery(target), options.beside)
    with console.progress("models written") as on_progress:
        page, left_out = exported(shelf, on_progress)
    with atomic_file(options.export, "w") as file:
        file.write(page)
    for sentence in left_out:
        console.say(sentence)
    print(options.export)
    size = options.export.stat().st_size / 1e6
    console.say(f"{size:,.1f} MB; it opens anywhere in a browser, without isthmus and without a network")
