"""Safetensors files whose headers say something else than what follows them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import safetensors.torch
import torch
from hypothesis.strategies import composite, integers, lists, sampled_from, text

from models.min_of_two.weights import NAMES, bridge_state_dict
from tests.checkpoint.hostile import ANYTHING, WEIGHTS, Case, sound

DTYPES = [
    "F32",
    "F64",
    "F16",
    "BF16",
    "I64",
    "BOOL",
    "C64",
    "F8_E4M3",
    "F8_E8M0",
    "F4",
    "f32",
    "",
    3,
]
NUMBERS = [
    0,
    1,
    2,
    3,
    4,
    6,
    -1,
    2**31,
    2**32,
    2**62,
    2**63,
    2**64,
    10**4000,
    1.5,
    1e400,
    "2",
    None,
    [2],
]


def header_file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header, whatever it is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


@composite
def headers(draw: Any) -> Case:
    """Headers of safetensors that say something else than what follows them."""
    content = sound()[draw(sampled_from((0, 1)))][1]
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    pairs = list(header.items())
    for _ in range(draw(integers(1, 3))):
        at = draw(integers(0, len(pairs) - 1))
        name, said = pairs[at][0], copy.deepcopy(pairs[at][1])
        change = draw(integers(0, 7))
        if change == 0 and isinstance(said, dict):
            said["dtype"] = draw(sampled_from(DTYPES))
        elif change == 1 and isinstance(said, dict):
            said["shape"] = draw(lists(sampled_from(NUMBERS), max_size=4))
        elif change == 2 and isinstance(said, dict):
            said["data_offsets"] = draw(lists(sampled_from([*NUMBERS, 8, 16, 32]), max_size=3))
        elif change == 3:
            pairs.append((name, said))
        elif change == 4:
            name = draw(text(max_size=20)) or draw(sampled_from(sorted(header)))
        elif change == 5:
            said = draw(ANYTHING)
        elif change == 6:
            pairs.append(("__metadata__", draw(ANYTHING)))
        else:
            data = data[: draw(integers(0, len(data)))]
        pairs[at] = (name, said)
    written = ", ".join(f"{json.dumps(name)}: {json.dumps(said)}" for name, said in pairs)
    told = draw(sampled_from((None,) * 6 + (0, 1, length - 1, length + 1, 2**63, 2**64 - 1)))
    return Case("header", header_file(f"{{{written}}}".encode(), data, told), ".safetensors")


def zeros(*shape: int, to: int = 0) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": (0, to)}


def absurd_headers() -> Iterator[Case]:
    """Headers of safetensors that would cost whoever believes them."""
    weights = bridge_state_dict(WEIGHTS)
    contents: dict[str, bytes] = {
        "deep lists": header_file(b"[" * 10**6),
        "deep objects": header_file(b'{"a":' * 10**6),
        "deep metadata": header_file(b'{"__metadata__":' + b"[" * 10**6 + b"]" * 10**6 + b"}"),
        "a long number": header_file(b'{"a":' + b"9" * 10**6 + b"}"),
        "many tensors": header_file({f"{i}": zeros(0) for i in range(100_000)}),
        "many empty tensors": header_file({f"{i}": zeros(0) for i in range(4_900)}),
        "many dimensions": header_file({"a": zeros(*[1] * 10**5, to=4)}, bytes(4)),
        "a long name": header_file({"n" * 10**6: zeros(1, to=4)}, bytes(4)),
        "a name with escapes": header_file({"\x1b[2J\n": zeros(1, to=4)}, bytes(4)),
        "a lone surrogate": header_file(b'{"\\ud800":' + json.dumps(zeros(0)).encode() + b"}"),
        "UTF-16": header_file(json.dumps({"a": zeros(0)}).encode("utf-16")),
        "overflow": header_file({"a": zeros(2**33, 2**31)}),
        "overlap": header_file({"a": zeros(1, to=4), "b": zeros(1, to=4)}, bytes(4)),
        "no tensors": header_file({}),
        "huge metadata": header_file({"__metadata__": {"a": "x" * 2**24}}),
        **{
            f"{n_heads[:9]!r} heads": safetensors.torch.save(weights, {"n_heads": n_heads})
            for n_heads in (
                "0",
                "-1",
                "3",
                "",
                "1.5",
                "²",
                "٢",
                "9" * 5000,
                "1" * 10**6,
                "x" * 10**6,
            )
        },
    }
    for name, content in contents.items():
        yield Case(name, content, ".safetensors")
    for length in (0, 1, 2, 7, 8, 2**20, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        for rest in (b"", b"{}", b"{}" * 10, sound()[0][1]):
            yield Case("header's length", length.to_bytes(8, "little") + rest, ".safetensors")


def disagreeing() -> Iterator[Case]:
    """Weights of another number of heads than is said, and weights under both of their names."""
    weights = bridge_state_dict(WEIGHTS)
    for name, weight in weights.items():
        odd = {**weights, name: torch.ones([n + 1 for n in weight.shape])}
        yield Case("odd heads", safetensors.torch.save(odd, {"n_heads": "2"}), ".safetensors")
        both = {
            **weights,
            NAMES.renaming(())[name][0][0]: torch.ones(
                WEIGHTS[NAMES.renaming(())[name][0][0]].shape
            ),
        }
        yield Case("named twice", safetensors.torch.save(both), ".safetensors")
