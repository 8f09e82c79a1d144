"""Files of training loops that were made to harm: sound weights beside what is not."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import safetensors.torch
import torch

from tests.checkpoint.hostile import WEIGHTS, Case
from tests.checkpoint.hostile_pickles import (
    CALLS,
    archive,
    costly_programs,
    dict_of,
    legacy,
    operations,
    program,
    storage,
    tensor,
    ways_to_call,
)

NAMES = tuple(WEIGHTS)
Pairs = Sequence[tuple[str, bytes]]


def of_pairs(pairs: Pairs) -> bytes:
    """A dict in which a name may be twice."""
    return b"}(" + b"".join(operations(name) + value for name, value in pairs) + b"u"


def weights() -> Pairs:
    """The operations that make each of the sound weights."""
    return [
        (name, tensor(tuple(one.shape), one.stride(), of=storage(one.numel(), str(at))))
        for at, (name, one) in enumerate(WEIGHTS.items())
    ]


def in_files(name: str, steps: bytes) -> Iterator[Case]:
    """A program with the numbers of the weights, in both formats of torch.save."""
    numbers = [one.numpy().tobytes() for one in WEIGHTS.values()]
    records = {f"data/{at}": content for at, content in enumerate(numbers)}
    yield Case(name, archive(program(steps), **records))
    keys = [str(at) for at in range(len(numbers))]
    sizes = [struct.pack("<q", one.numel()) for one in WEIGHTS.values()]
    stored = b"".join(size + content for size, content in zip(sizes, numbers, strict=True))
    yield Case(name, legacy(program(steps), keys, stored))


def beside_weights() -> Iterator[Case]:
    """Sound weights, and code or a cost in what is passed over."""
    model = of_pairs(weights())
    for name, arguments in CALLS:
        for way in ways_to_call(name, arguments):
            yield from in_files(f"beside: {name}", dict_of(model=model, other=way))
            yield from in_files(
                f"a key: {name}", b"}(" + way + b"N" + operations("m") + model + b"u"
            )
    for name, steps in costly_programs().items():
        yield from in_files(f"beside: {name}", dict_of(model=model, other=steps))


def made_by_objects() -> Iterator[Case]:
    """A weight that is what a call gives, in every way that a pickle can call."""
    for at, (name, arguments) in enumerate(CALLS):
        for way in ways_to_call(name, arguments):
            of = NAMES[at % len(NAMES)]
            yield from in_files(f"{of}: {name}", of_pairs([*weights(), (of, way)]))
            pairs = [(n, way if n == of else value) for n, value in weights()]
            yield from in_files(f"{of} is {name}", dict_of(model=of_pairs(pairs)))


def look_alikes(name: str) -> Mapping[str, str]:
    """Names that are another's to whoever reads them."""
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name)
    return {
        "wide": wide,
        "one wide": wide[0] + name[1:],
        "mathematical": "\N{MATHEMATICAL BOLD SMALL E}" + name[1:],
        "Cyrillic": name.replace("e", "\N{CYRILLIC SMALL LETTER IE}").replace("k", "\u043a"),
        "combined": name + "\N{COMBINING ACUTE ACCENT}",
        "composed": unicodedata.normalize("NFC", name + "e\N{COMBINING ACUTE ACCENT}"),
        "decomposed": name + "e\N{COMBINING ACUTE ACCENT}",
        "Turkish": name.replace("b", "\N{LATIN SMALL LETTER B WITH STROKE}") + "\u0131",
        "a dot": name.replace(".", "\N{ONE DOT LEADER}"),
        "same": name,
    }


def names_alike() -> Iterator[Case]:
    """Weights with a name that looks like another's, instead of it or beside it; or that is it."""
    numbers = dict(WEIGHTS)
    for name, value in weights():
        for how, alike in look_alikes(name).items():
            if how != "same":
                pairs = [(alike if n == name else n, v) for n, v in weights()]
                yield from in_files(f"{how} for {name}", of_pairs(pairs))
                others = {alike: torch.ones(2), **numbers}
                yield Case(f"{how} and {name}", safetensors.torch.save(others), ".safetensors")
            pairs = [*weights(), (alike, value)]
            yield from in_files(f"{how} and {name}", of_pairs(pairs))
