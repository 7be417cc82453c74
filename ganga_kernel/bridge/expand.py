"""Names in IPython's own syntax, such as ``%time y = f(x)``, ``%%capture`` or ``!cmd {x}``.

IPython makes a call with text of it: ``get_ipython().run_line_magic('time', 'y = f(x)')``. For the analysis
of names the text takes the call's place: as code where the magic runs it, and as the names that are filled
in (``{x}``, ``$x``).
"""

from __future__ import annotations

import ast
import re
from typing import Any

#: Magics whose text is code.
_RUN = frozenset({"time", "timeit", "prun", "capture", "memit", "lprun", "mprun"})
#: IPython's methods that fill names into their text.
_FILLED = frozenset({"system", "getoutput", "run_line_magic", "run_cell_magic"})
_FILLED_IN = re.compile(r"\{([^{}]+)\}|\$(\w+)")
#: Options before the code of a line magic.
_OPTION = re.compile(r"\s*-\w+(?:\s+\d+)?\s+")


def expanded(tree: ast.Module) -> ast.Module:
    """The tree with the text of such calls in their places; itself if there are none, however deep it is."""
    if not any(isinstance(node, ast.Name) and node.id == "get_ipython" for node in ast.walk(tree)):
        return tree
    changed: ast.Module = ast.fix_missing_locations(_Expander().visit(tree))
    return changed


class _Expander(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> Any:
        """A statement that is such a call becomes the statements that it runs."""
        found = _text_of(node.value)
        if found is None:
            return self.generic_visit(node)
        method, name, text = found
        statements = _code(method, name, text)
        return [*statements, *_reads(text)] or ast.copy_location(ast.Pass(), node)

    def visit_Call(self, node: ast.Call) -> Any:
        """One within an expression becomes the values that it is made of."""
        found = _text_of(node)
        if found is None:
            return self.generic_visit(node)
        values = [statement.value for statement in _reads(found[2])]
        return ast.copy_location(ast.Tuple(values, ast.Load()), node)


def _text_of(node: ast.AST) -> tuple[str, str, str] | None:
    """Method, magic and text of a call on ``get_ipython()``; None for any other expression."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    owner = node.func.value
    ours = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "get_ipython"
    texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if not ours or node.func.attr not in _FILLED or len(texts) != len(node.args) or not texts:
        return None
    return node.func.attr, texts[0] if len(texts) > 1 else "", "\n".join(texts[1:] or texts)


def _code(method: str, name: str, text: str) -> list[ast.stmt]:
    """The statements that a magic runs."""
    if name not in _RUN:
        return []
    if method == "run_cell_magic":
        text = text.partition("\n")[2]
    while option := _OPTION.match(text):
        text = text[option.end() :]
    try:
        return expanded(ast.parse(text)).body
    except SyntaxError:
        return []


def _reads(text: str) -> list[ast.Expr]:
    """Statements that read the names that are filled into a text."""
    found = []
    for braced, plain in _FILLED_IN.findall(text):
        try:
            found.append(ast.Expr(ast.parse(braced or plain, mode="eval").body))
        except SyntaxError:
            continue
    return found
