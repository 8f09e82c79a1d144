"""Headers of safetensors are read here; the library reads whole files. Both find the same."""

from __future__ import annotations

import hashlib
import json

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechanistic_claims.checkpoint.checkpoint import CheckpointError
from mechanistic_claims.checkpoint.opening import read_once
from mechanistic_claims.checkpoint.read import read_checkpoint
from mechanistic_claims.checkpoint.stored import Malformed, Span
from mechanistic_claims.measurement.properties import reproducible
from models.min_of_two import FAMILY
from tests.checkpoint.known import Named
from tests.conftest import small_weights

TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool)
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
shapes = st.lists(st.integers(0, 3), max_size=3)
described = st.dictionaries(names, st.tuples(shapes, st.sampled_from(TYPES)), max_size=6)


@given(described=described, metadata=st.dictionaries(names, st.text(max_size=4), max_size=2))
@reproducible(examples=60)
def test_what_is_read_is_what_the_library_loads(tmp_path_factory, described, metadata):
    floats = {"a weight": torch.arange(3.0), "none": torch.zeros(0, 2)}
    tensors = floats | {
        name: (torch.rand(shape) * 100).to(dtype) for name, (shape, dtype) in described.items()
    }
    path = tmp_path_factory.mktemp("written") / "saved.safetensors"
    safetensors.torch.save_file(tensors, path, metadata)
    theirs = safetensors.torch.load_file(path)
    widest = read_checkpoint(path, "x", Named(theirs))
    assert widest.tensors.keys() == theirs.keys()
    assert widest.metadata == metadata
    assert widest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for name, tensor in theirs.items():
        exact = tensor.to(getattr(torch, widest.dtype)) if tensor.is_floating_point() else tensor
        assert torch.equal(widest.tensors[name], exact)


def test_weights_that_no_memory_has_room_for(tmp_path):
    """A file of terabytes that takes no room, each of whose weights is of the right shape."""
    like, wide, at, told = small_weights(3, 5), 2**36, 0, {}
    for name, tensor in like.items():
        shape = [wide if size == 5 and "b_" not in name else size for size in tensor.shape]
        shape[-1:] = [5] if name.endswith(("W_Q", "W_K", "W_V")) else shape[-1:]
        shape[1:2] = [5] if name.endswith("W_O") else shape[1:2]
        shape = [wide] if name.endswith("b_O") else shape
        size = 4 * torch.Size(shape).numel()
        told[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    header = json.dumps(told).encode()
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        try:
            file.truncate(8 + len(header) + at)
        except OSError:
            pytest.skip(f"this file system has no files of {at:,} bytes")
    with pytest.raises(CheckpointError, match=r"its weights are [\d,]{15,} bytes, and [\d,]+ of"):
        read_checkpoint(path, "min_of_two", FAMILY)


def test_bytes_are_those_that_were_parsed_and_hashed(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(100)))
    with open(path, "rb", buffering=0) as file:
        digest, found = read_once(file, [Span(50, 10), Span(20, 5)], {Span(0, 3): bytes(range(3))})
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert found[Span(50, 10)] == bytes(range(50, 60))
        assert found[Span(20, 5)] == bytes(range(20, 25))
        for spans, parsed, said in (
            ([Span(0, 10), Span(9, 2)], {}, "overlap"),
            ([Span(95, 6)], {}, "ends before byte 101"),
            ([], {Span(0, 3): b"abc"}, "changed while it was read"),
            ([Span(0, 3, crc=1)], {}, "are not what was saved"),
        ):
            with pytest.raises(Malformed, match=said):
                read_once(file, spans, parsed)
