"""The page's HTML, styles and modules, and what they show, put into one file."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import PurePosixPath

from isthmus.explore.shelf import PhotographShelf, Shelf
from isthmus.explore.standalone.file_contents import FileContents, OnProgress, contents_of

# Nothing is fetched: the browser itself refuses to. The page's modules are data: addresses, which its loader makes.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:"
_FIRST, _LOADER = "main.js", "offline/loader.js"
_REPLACED = {"server.js": "offline/server.js"}  # the one place where the page asks
_IMPORT = re.compile(r'((?:import|export)\b[^"\n;]*?\bfrom |^import )"(\.{1,2}/[\w./-]+\.js)"', re.MULTILINE)


def exported(shelf: Shelf | PhotographShelf, on_progress: OnProgress) -> tuple[str, tuple[str, ...]]:
    """The whole file, and a sentence for each model that is left out. Raises RequestError as `contents_of`."""
    empty = FileContents("", "", (), ())
    contents = contents_of(shelf, len(_assembled(empty).encode()), on_progress)
    return _assembled(contents), contents.left_out


def _assembled(contents: FileContents) -> str:
    """The whole file: every module that the page imports under the name "isthmus/NAME", and the contents as JSON."""
    html = _read("index.html")
    html = re.sub(r'<link rel="modulepreload"[^>]*>\n', "", html)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    html = _replaced(html, '<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}')
    html = _replaced(html, '<link rel="stylesheet" href="explore.css">', f"<style>\n{_read('explore.css')}</style>")
    html = _replaced(html, f'<script type="module" src="{_FIRST}"></script>\n', "")
    texts = {"about": contents.about, "pictures": contents.pictures}
    texts |= {f"model-{i}": text for i, text in enumerate(contents.models)}
    scripts = [_script(f'type="text/plain" data-module="isthmus/{name}"', code) for name, code in modules().items()]
    # "<" as JSON's escape: no name of a model ends a script
    scripts += [
        _script(f'type="application/json" id="{name}"', text.replace("<", "\\u003c")) for name, text in texts.items()
    ]
    return _replaced(html, "</body>", "\n".join([*scripts, f"<script>\n{_read(_LOADER)}</script>", "</body>"]))


def modules() -> dict[str, str]:
    """The page's modules by name, with the names by which they import each other."""
    codes: dict[str, str] = {}
    waiting = [_FIRST]
    while waiting:
        path = waiting.pop()
        name = PurePosixPath(path).name
        if name in codes:
            continue
        code = _read(path)
        folder = PurePosixPath(path).parent
        for imported in _IMPORT.findall(code):
            target = _joined(folder, imported[1])
            waiting.append(_REPLACED.get(target, target))
        codes[name] = _IMPORT.sub(lambda match: f'{match[1]}"isthmus/{PurePosixPath(match[2]).name}"', code)
    return dict(sorted(codes.items()))


def _joined(folder: PurePosixPath, relative: str) -> str:
    steps: list[str] = []
    for step in (folder / relative).parts:
        if step == "..":
            steps.pop()
        elif step != ".":
            steps.append(step)
    return "/".join(steps)


def _read(name: str) -> str:
    return (resources.files("isthmus.explore") / "page" / name).read_text("utf-8")


def _replaced(html: str, text: str, by: str) -> str:
    before, there, after = html.partition(text)
    assert there, f"index.html holds {text}"
    return before + by + after


def _script(attributes: str, text: str) -> str:
    assert "</script" not in text, "it would end there"
    assert "<!--" not in text, "what follows would be no script's end"
    return f"<script {attributes}>\n{text.rstrip()}\n</script>"
