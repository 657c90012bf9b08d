"""Draw the data set `letters`: capital letters in the typefaces that come with Matplotlib, 28×28 pixels.

    python tools/letters.py [--out isthmus/data/sources/letters.npz]

Each image is a letter in one of 23 typefaces, with a random slant, turn, size, width, stroke weight and place. It is
drawn sixteen times as large and reduced by area. The same seed and the same versions give the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

OUT = Path(__file__).parent.parent / "isthmus" / "data" / "sources" / "letters.npz"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIDE, SCALE = 28, 16  # pixels of an image, and how many times as large it is drawn
PER_LETTER, TEST_PER_LETTER = 150, 25
SEED = 0
# licences: LICENSE_DEJAVU and LICENSE_STIX beside the fonts; BaKoMa's for cm*, in Matplotlib's own LICENSE
TYPEFACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10", "cmmi10", "cmsy10"),
)


def glyph(letter: str, typeface: str) -> np.ndarray:
    """The letter, 256 pixels high, cut out at its edges: (height, width) uint8, 255 inside."""
    font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{typeface}.ttf", 360)
    left, top, right, bottom = font.getbbox(letter)
    image = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), letter, fill=255, font=font)
    return np.asarray(image.resize((max(1, round(image.width * 256 / image.height)), 256), Image.Resampling.BOX))


def draw(glyph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One letter with a random pose and weight, (28, 28) uint8, light on black."""
    height = rng.uniform(17, 21)  # of the letter, in pixels of the small image
    width = height * glyph.shape[1] / glyph.shape[0] * rng.uniform(0.85, 1.1)
    width = min(width, 21)  # a W of some typefaces is wider than it is high
    slant, turn = rng.uniform(-0.1, 0.2), np.deg2rad(rng.normal(0, 4))
    weight = rng.uniform(-0.15, 0.55)  # added to each side of a stroke, in pixels of the small image
    shift = rng.uniform(-1, 1, 2)
    side = SIDE * SCALE
    # from a place in the large image, relative to its middle, to one in the glyph
    cos, sin = np.cos(turn), np.sin(turn)
    pose = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, -slant], [0, 1]])
    forward = pose @ np.diag([width / glyph.shape[1], height / glyph.shape[0]]) * SCALE
    back = np.linalg.inv(forward)
    middle = np.array(glyph.shape[::-1]) / 2
    offset = middle - back @ (side / 2 + shift * SCALE)
    coefficients = (*back[0], offset[0], *back[1], offset[1])
    image = Image.fromarray(glyph).transform(
        (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    # a blur and a threshold move the edge and round the corners, as a pen does: the blur of a straight edge is Phi(-1)
    # one standard deviation outside it, and Phi(1) inside
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(abs(weight) * SCALE)), np.float64) / 255
    inked = blurred > (0.1587 if weight > 0 else 0.8413)
    return np.asarray(Image.fromarray(np.where(inked, 255, 0).astype(np.uint8)).reduce(SCALE))


def data_set(per_letter: int = PER_LETTER, test_per_letter: int = TEST_PER_LETTER) -> dict[str, np.ndarray]:
    """All images, in random order, those of the test set last: `images` (n, 28, 28), `labels` (n,), `n_train`.

    Which of a letter's images are for the test is a random draw, whatever their typeface.
    """
    rng = np.random.default_rng(SEED)
    glyphs = {(letter, typeface): glyph(letter, typeface) for letter in LETTERS for typeface in TYPEFACES}
    images, labels = [], []
    for _ in range(per_letter):
        for label, letter in enumerate(LETTERS):
            images.append(draw(glyphs[letter, TYPEFACES[rng.integers(len(TYPEFACES))]], rng))
            labels.append(label)
    n_train = len(LETTERS) * (per_letter - test_per_letter)  # of each letter the last are for the test, all alike
    order = np.concatenate([rng.permutation(n_train), n_train + rng.permutation(len(images) - n_train)])
    return {
        "images": np.stack(images)[order],
        "labels": np.array(labels, np.uint8)[order],
        "n_train": np.array(n_train),
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    np.savez_compressed(options.out, **data_set())
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
