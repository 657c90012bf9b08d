"""The table [data] of a study: which images, and how they are split."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from isthmus.errors import one_of, require
from isthmus.studies.spec.figures import DATA

PHOTOGRAPHS = "photographs"  # of any sizes, in a folder
IMAGES = "images"  # of one size, in a folder with train and test
QUICK_IMAGES, QUICK_MEASURED, QUICK_PHOTOGRAPHS, QUICK_SIDE = 2000, 500, 2, 128


@dataclass(frozen=True)
class Data:
    """Which images, and how they are split. pool_test: models are fitted on train + test, scored as split "all".

    path: of photographs and images, the folder, unless `isthmus run --data-dir` says another. side: of test photographs
    with more pixels to a side, so much of the middle is measured.
    """

    name: str
    train: int | None = None
    validation: int = 0
    split: str = "random"
    pool_test: bool = False
    classes: tuple[int, ...] | None = None
    test: int | None = None
    path: str | None = None
    side: int = 1024

    def __post_init__(self) -> None:
        one_of("data set", self.name, (*DATA, IMAGES, PHOTOGRAPHS))
        in_folder = self.is_photographs or self.is_images
        require(self.path is None or in_folder, "path", f'given for "{IMAGES}" or "{PHOTOGRAPHS}"', self.path)
        require(self.side >= 16, "side", "at least 16", self.side)
        whole = not (self.is_photographs and (self.pool_test or self.classes or self.split != "random"))
        require(whole, "the data of photographs", "without pool_test, classes and split", self)
        one_of("split", self.split, ("random", "file"))
        for name, value in (("train", self.train), ("test", self.test)):
            require(value is None or value >= 1, name, "at least 1", value)
        require(self.validation >= 0, "validation", "at least 0", self.validation)
        require(self.classes is None or len(self.classes) > 0, "classes", "a list of at least one label", self.classes)

    @property
    def is_photographs(self) -> bool:
        """Whether they are photographs of any sizes."""
        return self.name == PHOTOGRAPHS

    @property
    def is_images(self) -> bool:
        """Whether they are images of one size in a folder."""
        return self.name == IMAGES

    def quick(self, available: int) -> Data:
        """Few of the `available` training images, and few to measure."""
        train = available - self.validation if self.train is None else self.train
        few = QUICK_PHOTOGRAPHS if self.is_photographs else QUICK_MEASURED
        return dataclasses.replace(
            self,
            train=min(max(train, 1), QUICK_IMAGES),
            validation=min(self.validation, few),
            test=min(self.test or few, few),
            side=min(self.side, QUICK_SIDE),
        )
