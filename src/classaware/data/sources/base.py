"""What is known of a public data set: its classes, its published counts, where it comes from, how to read it."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classaware.data.dataset import Color
from classaware.data.preparation.archives import Entry, Tree

IGNORED = 255  # in every prepared mask


class Original(NamedTuple):
    """One image of a data set as it was published.

    Attributes:
        split: train, val, test, ...
        name: of the prepared files, without ending; letters, digits, ``.``, ``_``, ``-``.
        image: the image file.
        label: what :meth:`Source.label` makes the classes from; an :class:`Entry` or plain values that can be pickled.
    """

    split: str
    name: str
    image: Entry
    label: Any


class Layout(NamedTuple):
    """What was found: in which of the published forms, and the images.

    Attributes:
        form: of the files found, for people and the manifest.
        originals: the images of all splits.
        expected: number of images of every split in this form; ``None`` where it is the source's own.
        class_names: where the files name the classes (the source's own is empty then); ``None`` where the source does.
        palette: likewise.
    """

    form: str
    originals: list[Original]
    expected: dict[str, int] | None = None
    class_names: tuple[str, ...] | None = None
    palette: tuple[Color, ...] | None = None


class Source:
    """A public data set.

    Attributes:
        name: for the command line, such as ``pascal-context``.
        title: for people.
        class_names: name of class i; empty where only the files tell (:attr:`Layout.class_names`).
        palette: (red, green, blue) of class i; empty likewise.
        expected: published number of images of every split, in the form most often used (:attr:`Layout.expected`).
        download: what to download, from whom and in which form it is read.
        license: the terms under which it is given.
        reference: the publication to cite.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    class_names: ClassVar[tuple[str, ...]]
    palette: ClassVar[tuple[Color, ...]]
    expected: ClassVar[dict[str, int]]
    download: ClassVar[str]
    license: ClassVar[str]
    reference: ClassVar[str]

    def find(self, tree: Tree) -> Layout:
        """The images of all splits, in whichever published form lies in ``tree``.

        Raises:
            InputError: none of the forms is there, or a part of one is missing; names what.
        """
        raise NotImplementedError("a source finds its images")

    def label(self, original: Original) -> NDArray[np.uint8]:
        """Classes (H, W) of one image, ``IGNORED`` where there is none.

        Raises:
            InputError: the label cannot be read, or holds a value that the data set does not have.
        """
        raise NotImplementedError("a source reads its labels")
