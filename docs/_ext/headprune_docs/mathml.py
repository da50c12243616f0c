"""Formulas as MathML, written when the docs are built: pages need no script and no network to show them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.util import logging

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

_TAG = re.compile(r"\s*\\tag\{([^}]*)\}\s*$")
_log = logging.getLogger(__name__)


def register(app: Sphinx) -> None:
    """Offer the renderer, as `html_math_renderer = "mathml"`."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))


def mathml(latex: str, display: str = "inline") -> str:
    """LaTeX as a `<math>` element, with its source for who copies it.

    Args:
        latex: the formula.
        display: `inline` or `block`.

    Raises:
        ValueError: it holds what the converter does not know, and would show as it is typed.
    """
    made = convert(latex, display=display)
    try:
        root = ElementTree.fromstring(made)  # noqa: S314  # made from our own pages
    except ElementTree.ParseError:
        raise ValueError(f"a formula does not come out as XML: {latex}") from None
    shown = "".join(root.itertext())
    if "\\" in shown:
        unknown = re.search(r"\\\w*", shown)
        raise ValueError(f"a formula holds {unknown[0] if unknown else shown}, which is not known: {latex}")
    # A function's name is no operator, around which there would be space.
    made = re.sub(r"<mo>([A-Za-z]{2,})</mo>", r"<mi>\1</mi>", made)
    source = f'<annotation encoding="application/x-tex">{escape(latex)}</annotation>'
    opened, body = made.removesuffix("</math>").split(">", 1)
    return f"{opened}><semantics>{body}{source}</semantics></math>"


def _inline(writer: HTML5Translator, node: Element) -> None:
    writer.body.append(_made(node, node.astext(), "inline"))
    raise SkipNode


def _block(writer: HTML5Translator, node: Element) -> None:
    latex = node.astext()
    tag = _TAG.search(latex)
    writer.body.append(writer.starttag(node, "div", CLASS="math notranslate nohighlight"))
    writer.body.append(_made(node, _TAG.sub("", latex), "block"))
    if tag:
        writer.body.append(f'<span class="eqno">({escape(tag[1])})</span>')
    writer.body.append("</div>\n")
    raise SkipNode


def _made(node: Element, latex: str, display: str) -> str:
    try:
        return mathml(latex.strip(), display)
    except ValueError as error:
        _log.warning("%s", error, location=node, type="headprune", subtype="math")
        return escape(latex)
