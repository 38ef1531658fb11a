"""A prepared folder against what was written of it when it was prepared."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from classaware.data.checking.findings import Finding
from classaware.data.checking.inspection import Inspection
from classaware.data.manifest import Manifest, read_files

_ANEW = "Prepare the data set anew, or measure nothing that is to be compared with it."


def differences(root: Path, manifest: Manifest, seen: Sequence[Inspection]) -> Iterator[Finding]:
    """Files changed, missing or added since, and splits whose size is not the published one.

    Raises:
        InputError: the list of files is damaged.
    """
    rows = {(row.split, row.image): row for row in read_files(root)}
    found = {(one.split, one.sample.image.name): one for one in seen}
    for key, row in rows.items():
        image = root / "images" / row.split / row.image
        if not image.exists():
            message = f"{image} was there when {root} was prepared, and is missing now. {_ANEW}"
            yield Finding("warning", "missing since prepared", row.split, str(image), message)
        elif key in found:
            one = found[key]
            for path, was, now in (
                (one.sample.image, row.image_sha256, one.image_digest),
                (one.sample.label, row.mask_sha256, one.mask_digest),
            ):
                if now is not None and now != was:
                    message = f"{path} is not the file that it was when {root} was prepared. {_ANEW}"
                    yield Finding("warning", "changed since prepared", one.split, str(path), message)
    for key, one in found.items():
        if key not in rows:
            message = f"{one.sample.image} was not there when {root} was prepared. {_ANEW}"
            yield Finding("warning", "added since prepared", one.split, str(one.sample.image), message)
    for split, number in manifest.expected.items():
        count = sum(one.split == split for one in seen)
        if count != number:
            message = (
                f"{split} has {count} images, the published {manifest.title} {number}: numbers measured on it cannot "
                "be compared with published ones."
            )
            yield Finding("warning", "number of images is not the published one", split, None, message)
