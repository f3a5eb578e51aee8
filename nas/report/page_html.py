"""What every page is made of that leaves our hands: escaped texts, a content security policy, a file that is whole."""

from __future__ import annotations

import base64
import hashlib
import html
import os
from collections.abc import Sequence
from pathlib import Path

from plotly.offline import get_plotlyjs

from nas.errors import InputError


def escaped(words: object) -> str:
    """Return the words with what HTML would take for markup escaped."""
    return html.escape(str(words))


def policy(scripts: Sequence[str]) -> str:
    """Return the policy that lets exactly `scripts` run; plotly sets styles and draws its PNG from a data address."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def document(title: str, content: str, *, style: str, script: str = "", figures: str = "") -> str:
    """Return a whole page around `content`. All that a user gave must be escaped before.

    With a `script` the page holds plotly's, and `figures`, the JSON that it draws, in the element of that name.
    """
    library = get_plotlyjs() if script else ""
    scripts = (
        f"""<script>{library}</script>
<script type="application/json" id="figures">{figures}</script>
<script>{script}</script>"""
        if script
        else ""
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy([library, script] if script else [])}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{content}
{scripts}
</body>
</html>
"""


def table_section(
    title: str, heads: str, rows: Sequence[str], columns: int, notes: Sequence[str] = (), kind: str = ""
) -> str:
    """Return a section with a table of so many columns, from cells as HTML; nothing where there are no rows.

    The notes are sentences without their stop, not escaped yet; `kind` is a class of the page's style.
    """
    if not rows:
        return ""
    captions = "\n".join(f'<p class="caption">{escaped(note)}.</p>' for note in notes if note)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"""<section>
<h2>{title}</h2>
{captions}
<div class="scroll">
<table class="{kind}" style="--columns: {columns}">
<thead><tr>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>
</section>
"""


def write_page(path: Path, page: str) -> None:
    """Write a page to `path`, whole or not at all, its folder made first; InputError when it cannot be written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8", errors="replace")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if partial.is_file():
            partial.unlink()
