"""The colours of the pages, once for a light and once for a dark screen, as CSS."""

from __future__ import annotations

from nas.report.theme import DARK, FONT, LIGHT

COLOURS = f""":root {{ color-scheme: light dark; --font: {FONT}; {LIGHT.css()} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK.css()} }} }}"""
