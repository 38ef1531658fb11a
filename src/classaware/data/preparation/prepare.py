"""A public data set, once, to images, index masks and a manifest: resumable, in parallel, nothing half written.

Of a run that was broken off, by whatever means, whole files are left and ``.preparing.json``, which says of what they
are. The next run verifies them and makes what is missing. ``manifest.json`` comes last: with it the folder is complete.
"""

import csv
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path

from classaware import __version__
from classaware.data.dataset import default_palette
from classaware.data.manifest import COLUMNS, FILES, FORMAT, UNFINISHED, Manifest
from classaware.data.parallel import Progress, check_workers, in_parallel
from classaware.data.preparation.archives import Tree
from classaware.data.preparation.conversion import Conversion
from classaware.data.preparation.target import (
    check_names,
    check_place,
    check_space,
    claim,
    is_complete,
    locked,
    mark_unfinished,
    remove_parts,
    survey,
)
from classaware.data.sources.base import IGNORED, Layout, Original, Source
from classaware.errors import InputError
from classaware.files import sha256

_CACHE = ".archives"
_SHOWN = 20  # failures in an error


def prepare(source: Source, sources: Sequence[Path], out: Path, workers: int | None, progress: Progress) -> Manifest:
    """Write ``out``/images/SPLIT/NAME.jpg (or .png), masks/SPLIT/NAME.png, classes.txt, files.csv and manifest.json.

    JPEG and PNG images of 8 bits are kept byte by byte, after they were decoded; others become PNG. Masks are palette
    PNGs of class indices with 255 for no class. The result does not depend on ``workers`` or on interruptions.

    Args:
        source: the data set.
        sources: archives and folders as they were downloaded.
        out: a new or empty folder, or one that an earlier call left: then what is there is verified and kept.
        workers: processes, as :func:`in_parallel` takes them.
        progress: is told (done, all); not called where ``out`` is complete already.

    Raises:
        InputError: ``sources`` without one of the data set's forms; names that collide or are unsafe; ``out`` with
            something else in it, or without room; and, after all others are done, originals that cannot be used.
    """
    out = Path(out)
    check_workers(workers)
    if not sources:
        raise InputError("no source is given: give the data set's archives or folders.")
    check_place(sources, out)
    with locked(out):
        try:
            layout = _find(source, Tree.open(sources, out / _CACHE))
            originals = sorted(layout.originals, key=lambda original: (original.split, original.name))
            check_names(originals)
            draft = _draft(source, layout, originals)
            known = claim(out, draft)
            remove_parts(out)
            present = survey(out, originals)
            if known is None or not is_complete(out, known, draft, originals):
                check_space(out, originals, present)
                mark_unfinished(out, draft)
                _convert(Conversion(source, out, draft.palette), originals, workers, progress)
                known = replace(draft, files_sha256=sha256(out / FILES))
                known.write(out)
            (out / UNFINISHED).unlink(missing_ok=True)
            shutil.rmtree(out / _CACHE, ignore_errors=True)
            return known
        finally:
            remove_parts(out)


def _find(source: Source, tree: Tree) -> Layout:
    try:
        layout = source.find(tree)
        if not layout.originals:
            raise InputError(f"no image of {source.title} was found.")
        return layout
    except InputError as error:
        hint = f"'classaware data prepare {source.name}' says what to download."
        said = hint in str(error) or source.download in str(error)
        raise InputError(str(error) if said else f"{error} {hint}") from error


def _draft(source: Source, layout: Layout, originals: Sequence[Original]) -> Manifest:
    """The manifest as far as it is known before the files are."""
    class_names = layout.class_names or source.class_names
    palette = layout.palette or source.palette or default_palette(len(class_names))
    if not 0 < len(class_names) <= IGNORED or len(palette) != len(class_names):
        raise InputError(
            f"{source.title} has {len(class_names)} classes and {len(palette)} colors: index masks of 8 bits take 1 to "
            f"{IGNORED} classes with one color each."
        )
    return Manifest(
        format=FORMAT,
        name=source.name,
        title=source.title,
        form=layout.form,
        class_names=tuple(class_names),
        palette=tuple(palette),
        ignore_index=IGNORED,
        splits=dict(Counter(original.split for original in originals)),
        expected=dict(source.expected if layout.expected is None else layout.expected),
        license=source.license,
        reference=source.reference,
        classaware=__version__,
        files_sha256="",
    )


def _convert(conversion: Conversion, originals: Sequence[Original], workers: int | None, progress: Progress) -> None:
    """All pairs and their list; the list only if all could be made."""
    total = len(originals)
    failed, failures = 0, list[str]()
    part = conversion.out / f".{FILES}.part"
    with part.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        with closing(in_parallel(conversion, originals, workers, progress)) as results:
            for result in results:
                if isinstance(result, str):
                    failed += 1
                    failures += [result][: _SHOWN - len(failures)]
                else:
                    lines.writerow(astuple(result))
    if failed:
        raise InputError(
            f"{failed} of {total} images cannot be prepared: {' '.join(failures)} {'...' if failed > _SHOWN else ''} "
            f"What could be is kept in {conversion.out}; correct these and run the same command again."
        )
    part.replace(conversion.out / FILES)
