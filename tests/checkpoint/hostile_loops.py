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


def costly_loops() -> Iterator[Case]:
    """Sound weights beside so much that looking through it would take long, or all memory."""
    model, one = of_pairs(weights()), tensor((1,), (1,), of=storage(4, "0"))
    kept = one + b"q\5"
    again = b"h\5"
    name = operations("m" * 1_500_000)
    beside: dict[str, bytes] = {
        "many prefixes": of_pairs([(f"a{at}.x", again) for at in range(20_000)]),
        "many tensors": of_pairs([(f"a.b.c.{at}", again) for at in range(48_000)]),
        "many dicts": of_pairs([(f"{at}", of_pairs([("x", again)])) for at in range(30_000)]),
        "many parts": of_pairs(
            [(f"{at}", of_pairs([("embed.W_E", again)])) for at in range(10_000)]
        ),
        "many that are none": of_pairs([(f"k{at}", b"N") for at in range(60_000)]),
        "deep names": of_pairs([(".".join("ab" * 40) + str(at), again) for at in range(1_000)]),
        "long globals": b"("
        + name
        + b"q\6"
        + operations("n")
        + b"\x93"
        + b"h\6h\6\x93" * 2_000
        + b"l",
    }
    for how, value in beside.items():
        steps = dict_of(first=kept, other=value, model=model)
        yield from in_files(how, steps)
        if how != "long globals":
            yield from in_files(
                f"{how}, with the weights", of_pairs([*weights(), ("k", kept), ("o", value)])
            )
    wide = [(n, tensor((2**24,), (0,), of=storage(4, "0"))) for n in NAMES]
    yield from in_files("many expanded", of_pairs(wide))


def others_than_torch_reads() -> Iterator[Case]:
    """Weights of which torch makes others: by a tensor that is changed, or a name given twice."""
    name, value = weights()[0]
    changed = (
        value
        + b"("
        + storage(4, "1")
        + operations(0)
        + operations((1, 2, 2))
        + operations((4, 2, 1))
        + b"tb"
    )
    yield from in_files("a tensor that is changed", of_pairs([(name, changed), *weights()[1:]]))
    model = of_pairs(weights())
    yield from in_files(
        "a model that is there twice", of_pairs([("model", model), ("model", b"N")])
    )
    two_types = tensor((1,), (1,), of=storage(4, "0", "IntStorage"))
    yield from in_files("numbers of two types", of_pairs([*weights(), ("k", two_types)]))
    content = next(in_files("", model)).content
    assert isinstance(content, bytes)
    yield Case("an archive behind something", b"PK\3\4" + content)
    yield Case("two archives", content + content)
    yield Case(
        "an archive with two folders", content.replace(b"archive/byteorder", b"anchive/byteorder")
    )
    other = {"DATA.PKL": program(dict_of(a=b"N"))}
    yield Case("a name in other letters", archive(program(of_pairs([])), **other))
