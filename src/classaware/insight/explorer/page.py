"""Page, style and script in one file, which forbids itself every request and every other script."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

SCRIPTS = (
    "decode.js",
    "relation.js",
    "color.js",
    "elements.js",
    "picture.js",
    "network.js",
    "matrix.js",
    "fidelity.js",
    "main.js",
)


def render_page(title: str, content: dict[str, Any], blobs: Sequence[str]) -> bytes:
    """The page.

    Args:
        title: of the browser's window.
        content: plain values that the script reads, see `build_explorer`.
        blobs: base64 texts; entry i is what ``{"blob": i}`` in the content means.
    """
    style = _asset("style.css")
    script = '"use strict";\n' + "\n".join(_asset(name) for name in SCRIPTS)
    parts = {
        "policy": "; ".join(
            (
                "default-src 'none'",
                "img-src data:",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        "title": escape(title),
        "style": style,
        "script": script,
        "content": script_json(content),
        "blobs": "\n".join(f'<script type="text/plain" id="blob-{i}">{text}</script>' for i, text in enumerate(blobs)),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))
    return page.encode("utf-8", "replace")


def script_json(content: dict[str, Any]) -> str:
    r"""JSON that can stand in a script element: ASCII, and with no sign that HTML reads ("<" becomes \u003c)."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
