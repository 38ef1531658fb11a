"""Make ``build/docs`` of ``docs/``: what the site's generator is given.

Three things that a page on disk has and a page of the site has not: links to files outside of ``docs/`` (each gets a
page that shows the file, or the names of a folder's files), links to folders, and blocks of ``math``, which become
drawings in the page so that nothing has to be fetched to see them. ``build/src`` holds the sources for the API pages,
with the roles of their docstrings (``:class:``) taken away, which Markdown does not know.
"""

import html
import io
import re
import shutil
from pathlib import Path

from matplotlib import mathtext
from matplotlib.font_manager import FontProperties

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BUILT = ROOT / "build" / "docs"
SOURCES = ROOT / "build" / "src"
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
MATH = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".json": "json", ".sh": "sh", ".md": "markdown"}


def drawn(equation: str) -> str:
    """An equation, in the LaTeX that matplotlib knows, as SVG in the color of the text around it."""
    tex = " ".join(equation.split())
    buffer = io.BytesIO()
    with_dollars = f"${tex}$"
    mathtext.math_to_image(with_dollars, buffer, prop=FontProperties(size=13, math_fontfamily="cm"), format="svg")
    svg = buffer.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="patch_1">.*?</g>', "", svg, flags=re.DOTALL)  # the white background
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)  # it would hold for the whole page
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(tex, quote=True)}" fill="currentColor" ', 1)
    return '<div class="math">' + re.sub(r">\s+<", "><", svg).replace("\n", " ") + "</div>"


def shown(target: Path) -> str:
    """Markdown of a page that shows a file, or names the files of a folder."""
    title = target.relative_to(ROOT).as_posix()
    if target.is_dir():
        names = sorted(path.name for path in target.iterdir() if not path.name.startswith(("_", ".")))
        return f"# {title}/\n\n" + "".join(f"* `{name}`\n" for name in names)
    fence = "`" * 6
    return f"# {title}\n\n{fence}{LANGUAGES.get(target.suffix, 'text')}\n{target.read_text()}{fence}\n"


def page_of(target: Path) -> Path:
    """Where the page of a file or folder that is no page lies, making it if it is not there yet."""
    page = BUILT / "source" / f"{target.relative_to(ROOT).as_posix()}.md"
    if not page.exists():
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(shown(target))
    return page


def relinked(text: str, page: Path) -> str:
    """The text with links that the generator can follow; a link to nothing stays, for the generator to refuse."""

    def change(match: re.Match[str]) -> str:
        target = (page.parent / match[2]).resolve()
        is_page_or_picture = (
            target.is_file() and target.is_relative_to(DOCS) and target.suffix in (".md", ".png", ".svg")
        )
        if ":" in match[2] or not target.exists() or is_page_or_picture:
            return match[0]
        steps = [".."] * len(page.relative_to(DOCS).parent.parts)
        return match[1] + "/".join([*steps, page_of(target).relative_to(BUILT).as_posix()]) + ")"

    pieces, end = [], 0
    for block in FENCED.finditer(text):
        pieces += [LINK.sub(change, text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*pieces, LINK.sub(change, text[end:])])


def main() -> None:
    """Copy pages, pictures and sources, changed as above."""
    shutil.rmtree(BUILT, ignore_errors=True)
    shutil.copytree(DOCS, BUILT, ignore=shutil.ignore_patterns("*.json"))
    for page in sorted(DOCS.rglob("*.md")):
        text = relinked(page.read_text(), page)
        text = MATH.sub(lambda match: drawn(match[1]), text)
        (BUILT / page.relative_to(DOCS)).write_text(text)
    shutil.rmtree(SOURCES, ignore_errors=True)
    shutil.copytree(ROOT / "src", SOURCES, ignore=shutil.ignore_patterns("__pycache__"))
    for module in SOURCES.rglob("*.py"):
        module.write_text(re.sub(r":(?:class|func|meth|mod|attr):(?=`)", "", module.read_text()))


if __name__ == "__main__":
    main()
