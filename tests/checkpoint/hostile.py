"""Files that are no checkpoints, or that were made to harm who reads them, by kind."""

from __future__ import annotations

import copy
import io
import os
import random
import socket
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from hypothesis.strategies import (
    booleans,
    dictionaries,
    floats,
    integers,
    lists,
    none,
    recursive,
    text,
)
from torch import Tensor

from models.min_of_two.weights import NAMES, bridge_state_dict
from tests.conftest import small_weights

WEIGHTS = small_weights(operands=3, d_model=2)
MEBIBYTE = 2**20
TYPES = [*safetensors.torch._TYPES.values(), torch.quint8, torch.qint8]
FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@dataclass(frozen=True)
class Case:
    """A file to write, and a name to tell it by."""

    name: str
    content: bytes | Callable[[Path], object]
    suffix: str = ".pt"

    def write(self, folder: Path) -> Path:
        path = folder / f"case{self.suffix}"
        if callable(self.content):
            self.content(path)
        else:
            path.write_bytes(self.content)
        return path


def saved(tensors: Any, form: str, metadata: dict[str, str] | None = None) -> bytes:
    """Tensors as the bytes of a file: safetensors, zip (what torch.save writes) or legacy."""
    if form == "safetensors":
        return safetensors.torch.save(tensors, metadata)
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=form == "zip")
    return buffer.getvalue()


def suffix(form: str) -> str:
    return ".safetensors" if form == "safetensors" else ".pt"


ANYTHING = recursive(
    none() | booleans() | integers() | floats() | text(max_size=5),
    lambda inner: lists(inner, max_size=3) | dictionaries(text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FORMS = ("safetensors", "zip", "legacy")


@cache
def sound() -> list[tuple[str, bytes]]:
    """Checkpoints that can be read, in each format and with both ways of naming."""
    named = (WEIGHTS, bridge_state_dict(WEIGHTS))
    return [(form, saved(weights, form)) for form in FORMS for weights in named]


def damaged(draw: random.Random) -> Iterator[Case]:
    """Bits flipped; files cut, extended, and put together from pieces."""
    while True:
        form, content = draw.choice(sound())
        other = draw.choice(sound())[1]
        start, end = sorted(draw.choices(range(len(content)), k=2))
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 2, 8, 64))):
            changed[draw.randrange(min(len(content), draw.choice((16, 2048, 10**9))))] ^= (
                1 << draw.randrange(8)
            )
        noise = draw.randbytes(draw.choice((1, 8, 100, 5000)))
        kinds = {
            "bits flipped": bytes(changed),
            "cut": draw.choice((content[:start], content[end:], content[:start] + content[end:])),
            "extended": draw.choice((content + noise, noise + content, content + content)),
            "pieces": draw.choice(
                (
                    content[:start] + other[start:],
                    content[:start] + noise + content[start:],
                    content[:start] + content[start:end] * 3 + content[end:],
                    content[:start] + bytes(end - start) + content[end:],
                    content[:start] + b"\xff" * (end - start) + content[end:],
                )
            ),
        }
        kind = draw.choices(list(kinds), weights=(5, 3, 1, 3))[0]
        yield Case(kind, kinds[kind], suffix(draw.choice((form,) * 9 + FORMS)))


def not_finite() -> Iterator[Case]:
    """NaN and infinities in each tensor, in each type and format."""
    for form in FORMS:
        for dtype in FLOATS:
            for name in NAMES.axes:
                for value in (torch.nan, torch.inf, -torch.inf):
                    weights = {n: tensor.to(dtype, copy=True) for n, tensor in WEIGHTS.items()}
                    weights[name].view(-1)[-1] = value
                    yield Case("not finite", saved(weights, form), suffix(form))


def odd_tensors() -> Iterator[Case]:
    """Tensors of each type and layout that is none of the four floating point types."""
    for name, tensor in WEIGHTS.items():
        for dtype in TYPES:
            if dtype == torch.float32:
                continue
            if dtype.is_floating_point or dtype.is_complex or "q" not in str(dtype):
                odd = tensor.to(dtype) if "4" not in str(dtype)[-5:-2] else None
            else:
                with warnings.catch_warnings(action="ignore"):
                    odd = torch.quantize_per_tensor(tensor, 0.1, 0, dtype)
            for form in FORMS if odd is not None else ():
                if form != "safetensors" or "q" not in str(dtype):
                    yield Case(f"{dtype}", saved({**WEIGHTS, name: odd}, form), suffix(form))
    for weights in (WEIGHTS, bridge_state_dict(WEIGHTS)):
        for name, tensor in weights.items():
            for kind, odd, forms in odd_layouts(tensor):
                for form in forms:
                    yield Case(kind, saved({**weights, name: odd}, form), suffix(form))


def odd_layouts(tensor: Tensor) -> Iterator[tuple[str, Tensor, tuple[str, ...]]]:
    """Tensors of other layouts and shapes, and the formats that can hold them."""
    complex_numbers = torch.view_as_complex(torch.ones(2, 2))
    yield "empty", torch.empty(0, 2), FORMS
    yield "no dimensions", torch.tensor(1.0), FORMS
    yield "another size", torch.ones([n + 1 for n in tensor.shape]), FORMS
    yield "many dimensions", tensor.reshape([1] * 20 + list(tensor.shape)), FORMS
    yield "sparse", tensor.to_sparse(), FORMS[1:]
    yield "meta", tensor.to("meta"), FORMS[1:]
    yield "expanded", torch.zeros(1).expand(2**45), FORMS[1:]
    yield "negated", complex_numbers.conj().imag, FORMS[1:]


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 1024 * MEBIBYTE)


def no_files() -> Iterator[Case]:
    """What a path may lead to that is no file, or no file of a sensible size."""
    for form in (".pt", ".safetensors"):
        for place in ("/dev/zero", "/dev/full", "/proc/self/maps", "/proc/self/mem", ".", "case"):
            link = place if place != "case" else f"case{form}"
            yield Case(f"link to {place}", lambda path, link=link: path.symlink_to(link), form)
        yield Case("dangling link", lambda path: path.symlink_to("nowhere"), form)
        yield Case("folder", Path.mkdir, form)
        yield Case("FIFO", os.mkfifo, form)
        yield Case("socket", socket_at, form)
        yield Case("100 GiB without content", sparse_file, form)
        yield Case("nothing", lambda path: None, form)
        yield Case("long name", lambda path: None, "x" * 5000 + form)
        yield Case("file as a folder", lambda path: path.parent.touch(), f"/x{form}")


def archives(draw: random.Random) -> Iterator[Case]:
    """Archives whose directory does not say what is in them."""
    entries = zipfile.ZipFile(io.BytesIO(saved(WEIGHTS, "zip")))
    names = [*entries.namelist(), "archive/data.pkl", "other/data.pkl", "archive/data/0", "../x"]
    while True:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            for entry in entries.infolist():
                content = entries.read(entry)
                info = zipfile.ZipInfo(entry.filename)
                info.compress_type = draw.choice((0, 0, 0, 0, 0, 8, 12, 14))
                file.writestr(info, content)
            for _ in range(draw.randrange(4)):
                info = copy.copy(draw.choice(file.filelist))
                info.filename = draw.choice(names)
                file.filelist.append(info)
            for _ in range(draw.randrange(3)):
                info = draw.choice(file.filelist)
                field = draw.choice(("file_size", "compress_size", "header_offset", "CRC"))
                setattr(info, field, draw.choice((0, 1, 2**20, 2**31, 2**32 - 1)))
        yield Case("archive", buffer.getvalue())
