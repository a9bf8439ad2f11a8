"""Settings of the documentation site: `make docs` builds it. The built site loads nothing from the network."""

import sys
from typing import Any, TypeVar

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

import genlab

project = "genlab"
author = "genlab contributors"
copyright = "genlab contributors"
version = release = genlab.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = f"genlab {release}"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

# A page runs its cells when it is an .ipynb file or starts with MyST-NB's header (`file_format: mystnb`). Other pages
# are plain text. The outputs are kept in docs/_build and a cell runs again when the code of its page changes.
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
# Widgets would load their scripts from a CDN.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Formulas become MathML (see below), so there is no MathJax to configure.
myst_update_mathjax = False
html_math_renderer = "mathml"

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
# Docstrings mark code with single backticks.
default_role = "code"

# Only our own names must resolve: the inventories of other packages lie on the network.
nitpick_ignore_regex = [(r"py:.*", r"(?!genlab\.).*")]
# An annotation that Python cannot evaluate, because of imports for type checkers only, stays a bare name such as `Run`,
# and several modules have a class of that name.
suppress_warnings = ["ref.python"]
copybutton_exclude = ".linenos, .gp, .go"


def _mathml(translator: Any, node: nodes.Element, block: bool) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    try:
        translator.body.append(tex2mathml(node.astext(), as_block=block))
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", node.astext(), error, location=node)
    raise nodes.SkipNode


def _inline(translator: Any, node: nodes.Element) -> None:
    _mathml(translator, node, block=False)


def _block(translator: Any, node: nodes.Element) -> None:
    _mathml(translator, node, block=True)


def _needs_no_page(app: Any, domain: Any, node: nodes.Element) -> bool | None:
    """Accept references to type variables and to private names: neither has an entry in the site."""
    module, _, name = str(node.get("reftarget", "")).rpartition(".")
    private = any(part.startswith("_") for part in f"{module}.{name}".split("."))
    return True if private or isinstance(getattr(sys.modules.get(module), name, None), TypeVar) else None


def _fences(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Turn the fenced examples of a docstring, which editors show as code, into those of reStructuredText."""
    converted, inside = list[str](), False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
            converted += [f".. code-block:: {line.removeprefix('```')}", ""] if inside else [""]
        else:
            converted.append(f"    {line}".rstrip() if inside else line)
    lines[:] = converted


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("warn-missing-reference", _needs_no_page)
    app.connect("autodoc-process-docstring", _fences)
