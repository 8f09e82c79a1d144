"""What a picture shows, read from its SVG by other means than it was written with."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from functools import cached_property
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from mechanistic_claims.model.task import Picture

NAME = "{http://www.w3.org/2000/svg}"
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Words:
    """A text, where it begins, ends or has its middle, and how large its letters are."""

    text: str
    x: float
    y: float
    size: float
    is_upright: bool
    anchor: str

    @property
    def left(self) -> float:
        """Where it begins at the latest: letters are half as wide as high, or wider."""
        wide = 0 if self.is_upright else self.size * len(self.text) / 2
        return self.x - {"end": wide, "middle": wide / 2}.get(self.anchor, 0)


class Shown:
    """The parts of a picture."""

    def __init__(self, picture: Picture) -> None:
        self.root = ElementTree.fromstring(picture.svg())
        self.wide, self.high = (float(self.root.attrib[name]) for name in ("width", "height"))

    @cached_property
    def words(self) -> list[Words]:
        return [
            Words(
                one.text or "",
                *(float(one.attrib[name]) for name in ("x", "y", "font-size")),
                "rotate" in one.attrib.get("transform", ""),
                one.attrib.get("text-anchor", ""),
            )
            for one in self.root.iter(f"{NAME}text")
        ]

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.words]

    @cached_property
    def images(self) -> list[tuple[np.ndarray, tuple[float, float, float, float]]]:
        """Pixels as [y, x, RGBA], and left, top, width and height."""
        found = []
        for one in self.root.iter(f"{NAME}image"):
            png = base64.b64decode(one.attrib["href"].partition(",")[2])
            box = tuple(float(one.attrib[name]) for name in ("x", "y", "width", "height"))
            found.append((np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")), box))
        return found

    @property
    def cells(self) -> np.ndarray:
        """Of a map what its colors are in the bar of colors: 0 at the bottom, 1 on top; NaN where
        it is blank.
        """
        (pixels, _), (bar, _) = self.images[:2]
        known = {tuple(one): 1 - at / 254 for at, one in enumerate(bar[:, 0, :3].tolist())}
        return np.array(
            [[known.get(tuple(p), np.nan) for p in row] for row in pixels[..., :3].tolist()]
        )

    def paths(self, **of: str) -> list[list[tuple[float, float]]]:
        """The corners of each path of the page with these attributes."""
        found = []
        for one in self.root.iter(f"{NAME}path"):
            in_page = not re.search("[hlv]", one.attrib["d"])  # keys are drawn by steps
            if in_page and all(one.attrib.get(name) == value for name, value in of.items()):
                found.append(corners(one.attrib["d"]))
        return found

    def circles(self, color: str) -> list[tuple[float, float, float]]:
        """Center and radius of those of a color that are no key."""
        return [
            (float(one.attrib["cx"]), float(one.attrib["cy"]), float(one.attrib["r"]))
            for group in self.root.iter(f"{NAME}g")
            if color in (group.attrib.get("fill"), group.attrib.get("stroke"))
            for one in group.iter(f"{NAME}circle")
        ]


def corners(path: str) -> list[tuple[float, float]]:
    x = y = 0.0
    found = []
    for step, numbers in re.findall(r"([MLHVZ])([^MLHVZ]*)", path):
        given = [float(number) for number in numbers.split()]
        if step in "ML":
            x, y = given
        elif step in "HV":
            x, y = (given[0], y) if step == "H" else (x, given[0])
        if step != "Z":
            found.append((x, y))
    return found
