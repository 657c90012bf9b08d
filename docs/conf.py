"""How Sphinx builds the site: `make docs`. Nothing is fetched, and a warning is an error."""

import os
import sys
import warnings
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "extensions"), str(DOCS)]

import isthmus  # noqa: E402

project, author, copyright = "isthmus", "the isthmus developers", "the isthmus developers"  # noqa: A001
release = version = isthmus.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "docstrings",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "command_line",
    "figures",
]
exclude_patterns = ["auto_examples/**/*.ipynb", "auto_examples/**/*.py", "pictures", "extensions"]
templates_path = ["_templates"]
root_doc = "index"
default_role = "py:obj"  # `name`, as docstrings write it, is code, and a link where there is such a name
highlight_language = "python"
smartquotes = False  # -- begins an option
pygments_style = "default"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]
html_permalinks_icon = "#"

autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
add_module_names = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery"],
    "gallery_dirs": ["auto_examples"],
    # an expression for the examples to run; the others are shown, and keep the figures of the last build
    "filename_pattern": os.environ.get("ISTHMUS_EXAMPLES", r"plot_"),
    "backreferences_dir": "api/backreferences",
    "doc_module": ("isthmus",),
    "image_scrapers": ("figures.scrape", "matplotlib"),
    "capture_repr": (),
    "only_warn_on_example_error": False,
    "abort_on_example_error": False,
    "remove_config_comments": True,
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
    "subsection_order": ["../examples/gallery/" + name for name in ("codes", "noise", "patterns", "samples", "work")],
    "thumbnail_size": (400, 260),
    "reference_url": {"isthmus": None},
}

html_theme = "pydata_sphinx_theme"
html_title = "isthmus"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "start": []}
html_theme_options = {
    "logo": {"text": "isthmus"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}


def _without_the_place(message, category, filename, lineno, line=None):  # a page shows no folder of who built it
    return f"{category.__name__}: {message}\n"


warnings.filterwarnings("ignore", category=DeprecationWarning, module="sphinx_gallery")
warnings.formatwarning = _without_the_place
