"""Pickles that would run code, or that make whoever follows them pay."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from hypothesis.strategies import composite, dictionaries, integers, lists, sampled_from, text

from models.min_of_two.weights import NAMES, bridge_state_dict
from tests.checkpoint.hostile import ANYTHING, FLOATS, FORMS, MEBIBYTE, WEIGHTS, Case, saved, suffix
from tests.checkpoint.hostile_headers import header_file

LARGE = 127 * MEBIBYTE
TOUCH = "touch executed"
RUN = f"__import__('os').system({TOUCH!r})"
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    *((f"{module} system", (TOUCH,)) for module in ("os", "posix", "nt")),
    ("os popen", (TOUCH,)),
    ("os mkdir", ("executed",)),
    ("subprocess Popen", (TOUCH.split(),)),
    ("subprocess check_output", (TOUCH.split(),)),
    ("builtins eval", (RUN,)),
    ("__builtin__ eval", (RUN,)),
    ("builtins exec", (RUN,)),
    ("builtins open", ("executed", "w")),
    ("builtins getattr", ("", "join")),
    ("builtins __import__", ("antigravity",)),
    ("importlib import_module", ("this",)),
    ("runpy run_path", ("executed.py",)),
    ("timeit timeit", (RUN,)),
    ("pathlib Path", ("executed",)),
    ("torch load", ("executed.pt",)),
    ("torch.serialization load", ("executed.pt",)),
    ("torch.storage _load_from_bytes", (b"executed",)),
    ("torch.hub load", ("executed", "executed")),
    ("torch.jit load", ("executed.pt",)),
    ("torch._dynamo optimize", ()),
    ("torch.utils.cpp_extension load", ("executed", ["executed.cpp"])),
    ("torch._utils _rebuild_device_tensor_from_numpy", ((), "float32", "cpu", False)),
    ("torch._utils _import_dotted_name", ("this",)),
    ("torch._tensor _rebuild_from_type_v2", (RUN, "builtins.eval", (RUN,), {})),
    ("numpy.core.multiarray _reconstruct", ()),
    ("copyreg _reconstructor", ()),
]


def archive(program: bytes, **records: bytes) -> bytes:
    """What torch.save would write around a pickle and its storages."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", program)
        for name, content in {"byteorder": b"little", "version": b"3\n", **records}.items():
            file.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def legacy(program: bytes, keys: list[str] | None = None, storages: bytes = b"") -> bytes:
    """What torch.save wrote around a pickle before it wrote archives."""
    start = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
    return b"".join([*start, program, pickle.dumps(keys or [], 2), storages])


def operations(value: Any) -> bytes:
    """The operations that put a plain value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def call(function: str, arguments: bytes) -> bytes:
    """The operations that call a function of a module with a tuple."""
    return b"c" + function.replace(" ", "\n").encode() + b"\n" + arguments + b"R"


def program(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


def dict_of(**values: bytes) -> bytes:
    return b"}(" + b"".join(operations(name) + value for name, value in values.items()) + b"u"


def ways_to_call(name: str, arguments: tuple[Any, ...]) -> list[bytes]:
    """Every way in which a pickle can call a function of a module."""
    module, function = name.split(" ")
    values, text = operations(arguments), "".join(f"S{str(a)!r}\n" for a in arguments)
    pushed = operations(module) + operations(function) + b"\x93"
    return [
        call(name, values),
        f"c{module}\n{function}\n({text}tR".encode(),
        f"({text}i{module}\n{function}\n".encode(),
        f"(c{module}\n{function}\n{text}o".encode(),
        f"c{module}\n{function}\n".encode() + values + b"\x81",
        f"c{module}\n{function}\n".encode() + values + b"}\x92",
        pushed + values + b"R",
        f"ctorch._utils\n_rebuild_tensor_v2\nc{module}\n{function}\n".encode() + values + b"bR",
        call("torch._tensor _rebuild_from_type_v2", b"(" + pushed + b"N" + values + b"Nt"),
    ]


def runs_code() -> Iterator[Case]:
    """Pickles that would call what could run code."""
    for name, arguments in CALLS:
        for way in ways_to_call(name, arguments):
            yield Case(f"runs {name}", archive(program(way)))
            yield Case(f"runs {name}", archive(program(dict_of(state_dict=way))))
            yield Case(f"runs {name}", legacy(program(way)))
            yield Case(f"runs {name}", program(way))
            yield Case(f"runs {name}", way + b".")


def storage(size: Any, key: Any = "0", kind: str = "FloatStorage") -> bytes:
    """The operations that name a storage."""
    return (
        b"(" + operations("storage") + f"ctorch\n{kind}\n".encode() + operations(key)
        + operations("cpu") + operations(size) + b"tQ"
    )  # fmt: skip


def tensor(shape: Any, strides: Any, offset: Any = 0, of: bytes | None = None) -> bytes:
    """The operations that make a tensor of a storage of four numbers, unless told otherwise."""
    values = b"".join(map(operations, (offset, shape, strides, False)))
    arguments = b"(" + (of or storage(4)) + values + call("collections OrderedDict", b")") + b"t"
    return call("torch._utils _rebuild_tensor_v2", arguments)


def laughs(grow: bytes = b"\x86", depth: int = 64) -> bytes:
    """A value that holds itself twice, which does so too: cheap to make, endless to walk."""
    return b"N" + (b"q\x00h\x00" + grow) * depth


def costly_programs() -> dict[str, bytes]:
    """Programs of a few bytes that would take all memory, or all time."""
    huge, expanded = operations(2**40), tensor((2**40,), (0,))
    collide = b"".join(operations(i * (2**61 - 1)) + b"N" for i in range(1, 40_000))
    return {
        "tensor, expanded": dict_of(a=expanded),
        "tensor, negative": dict_of(a=tensor((-1,), (1,))),
        "tensor, beyond its storage": dict_of(a=tensor((5,), (1,))),
        "tensor, offset beyond": dict_of(a=tensor((1,), (1,), offset=4)),
        "tensor, negative offset": dict_of(a=tensor((1,), (1,), offset=-1)),
        "tensor, overflow": dict_of(a=tensor((2**40,) * 16, (2**40,) * 16)),
        "tensor, many dimensions": dict_of(a=tensor((1,) * 10**5, (1,) * 10**5)),
        "tensor, large dimensions": dict_of(a=tensor((2**2000,) * 10**4, (0,) * 10**4)),
        "tensor, a text as its size": dict_of(a=tensor(("a", 2**33), (1, 1))),
        "tensor, no integers": dict_of(a=tensor((1.0, True, "2"), (None, 1, 1))),
        "tensor, empty and huge": dict_of(a=tensor((0, 2**62, 2**62), (1, 1, 1))),
        "storage, huge": dict_of(a=tensor((4,), (1,), of=storage(2**50))),
        "storage, negative": dict_of(a=tensor((4,), (1,), of=storage(-4))),
        "storage, missing": dict_of(a=tensor((4,), (1,), of=storage(4, "1"))),
        "storage, elsewhere": dict_of(a=tensor((4,), (1,), of=storage(4, "../data.pkl"))),
        "storage, key no text": dict_of(a=tensor((4,), (1,), of=storage(4, ("0",)))),
        "storage, unknown type": dict_of(a=tensor((4,), (1,), of=storage(4, "0", "XStorage"))),
        "storage, laughing": dict_of(a=laughs() + b"Q"),
        "tensor, larger type": dict_of(a=tensor((4,), (1,), of=storage(4, "0", "DoubleStorage"))),
        "numbers that collide": b"}(" + collide + b"u",
        "laughs as a key": b"}(" + laughs() + b"Nu",
        "laughs in a set": call("__builtin__ set", b"](" + laughs() + b"e\x85"),
        "laughs called": laughs() + b")R",
        "laughs as a layout": call("torch.serialization _get_layout", laughs() + b"\x85"),
        "laughs as a result": laughs(),
        "laughs as names": dict_of(model=b"}(" + laughs() + tensor((4,), (1,)) + b"u"),
        "lists that grow": b"]q\0" + b"(h\0h\0h\0e" * 1000,
        "a list in itself": b"]q\0h\0a",
        "a dict in itself": b"}q\0(X\5\0\0\0modelh\0u",
        "bytearray": call("__builtin__ bytearray", huge + b"\x85"),
        "Tensor": b"ctorch\nTensor\n" + huge + b"\x85\x81",
        "FloatTensor": call("torch FloatTensor", huge + b"\x85"),
        "FloatStorage": call("torch FloatStorage", huge + b"\x85"),
        "UntypedStorage": call("torch.storage UntypedStorage", huge + b"\x85"),
        "Counter": call("collections Counter", expanded + b"\x85"),
        "set": call("__builtin__ set", expanded + b"\x85"),
        "Size": call("torch Size", expanded + b"\x85"),
        "OrderedDict": call("collections OrderedDict", expanded + b"\x85"),
        "Parameter": call("torch.nn.parameter Parameter", expanded + b"\x85"),
        "bytes that double": operations(b"x")
        + b"".join(b"q\1c_codecs\nencode\nh\1" + operations("hex") + b"\x86R" for _ in range(60)),
        "names of itself": call("torch._tensor _rebuild_from_type_v2", b"]q\0h\0h\0h\0t"),
        "deep tuples": b"N" + b"\x85" * 400_000,
        "deep lists": b"]" * 200_000 + b"a" * 199_999,
        "marks": b"(" * (8 * MEBIBYTE - 100),
        "nulls": b"(" + b"N" * (8 * MEBIBYTE - 100) + b"t",
        "a long text": b"X\xff\xff\xff\xffabc",
        "a text of 2 MiB": b"X" + struct.pack("<I", 2 * MEBIBYTE) + b"\xc3\xa9" * MEBIBYTE,
        "long bytes": b"\x8e" + b"\xff" * 8 + b"abc",
        "a long number": b"\x8b\xff\xff\xff\x7f" + b"1" * 100,
        "a number in digits": b"I" + b"9" * 10**6 + b"\n",
        "a long global": b"c" + b"a" * 10**6 + b"\n" + b"b" * 10**6 + b"\n",
        "a long name": b"}(" + operations("n" * 10**6) + tensor((4,), (1,)) + b"u",
        "a name with escapes": b"}(" + operations("\x1b[2J\n") + tensor((4,), (1,)) + b"u",
        "a far place": b"Nr\xff\xff\xff\xff",
        "a lone surrogate": b"}(X\3\0\0\0\xed\xa0\x80" + tensor((4,), (1,)) + b"u",
        "many tensors": b"}("
        + tensor((1,), (1,))
        + b"q\5"
        + b"".join(operations(f"{i}") + b"h\5" for i in range(100_000))
        + b"u",
    }


def costly_pickles() -> Iterator[Case]:
    """Those programs in each file that they can be in, and files that are costly themselves."""
    for name, steps in costly_programs().items():
        yield Case(name, archive(program(steps), **{"data/0": bytes(16)}))
        yield Case(name, legacy(program(steps), ["0"], struct.pack("<q", 4) + bytes(16)))
        yield Case(name, program(steps))
    one = program(dict_of(a=tensor((4,), (1,))))
    for size in (-1, -(2**63), 2**31, 2**61, 2**63 - 1, 3, 5):
        yield Case("legacy storage", legacy(one, ["0"], struct.pack("<q", size) + bytes(16)))
    for keys in (["0", "0"], ["1"], [], [None], ["0"] * 10**5):
        yield Case("legacy storage", legacy(one, keys, (struct.pack("<q", 4) + bytes(16)) * 2))
    yield Case("many records", archive(one, **{f"data/{i}": b"" for i in range(12_000)}))
    yield Case("inflates to 16 GiB", inflating(one, 16 * 1024))
    yield Case("inflates to 100 MiB", inflating(one, 100))


def large_files() -> Iterator[Case]:
    """Files of about as many bytes as the reader takes, and more."""
    for size in (LARGE, 2 * LARGE, 4 * LARGE):
        nan = program(dict_of(a=tensor((size // 4,), (1,), of=storage(size // 4))))
        said = {"a": {"dtype": "F16", "shape": [size // 2], "data_offsets": [0, size]}}
        yield Case("NaN in an archive", archive(nan, **{"data/0": b"\xff" * size}))
        yield Case("NaN", header_file(said, b"\xff" * size), ".safetensors")
        yield Case("only a header", header_file(b" " * size), ".safetensors")
        yield Case("an archive of nothing", archive_of_nothing(size // 46))
        yield Case("a list of lists", header_file(b'{"a":[' + b"[]," * (size // 3)), ".safetensors")
        yield Case("zeros", bytes(size))
        yield Case("opcodes", b"\x80\2" + b"(" * size)


def archive_of_nothing(records: int) -> bytes:
    """An archive that is only a directory."""
    entry = b"PK\1\2" + bytes(42)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(entry) * records, 4, 0)
    return b"PK\3\4" + entry * records + end


def inflating(steps: bytes, mebibytes: int) -> bytes:
    """An archive whose storage is that many MiB of zeros, compressed to a thousandth."""
    content = archive(steps, **{"data/0": b"?"})
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(MEBIBYTE)) + deflate.flush(zlib.Z_FULL_FLUSH)
    packed = block * mebibytes + deflate.flush()
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as file:
        for entry in source.infolist():
            file.writestr(entry, packed if entry.filename.endswith("/0") else source.read(entry))
        file.filelist[-1].compress_type = zipfile.ZIP_DEFLATED
        file.filelist[-1].file_size = mebibytes * MEBIBYTE
    return buffer.getvalue()


STEPS = [
    *(bytes([code]) for code in b"N\x88\x89)]}(02t\x85\x86\x87aesuRb\x81Q.ldo1\x8f\x90\x94"),
    *(operations(value) for value in ("model", "0", 0, 1, -1, 2**31, 2**70, 0.5, ("a", 1), [1])),
    *(b"q\0", b"q\1", b"h\0", b"h\1", b"r\0\0\0\1", b"j\0\0\0\1"),
    *(f"c{name}\n".encode() for name in ("torch\nSize", "torch\nfloat32", "torch\nFloatStorage")),
    *(
        f"ctorch._utils\n_rebuild_{name}\n".encode()
        for name in ("tensor_v2", "parameter", "qtensor")
    ),
    b"ccollections\nOrderedDict\n",
    storage(4),
    storage(1, "1"),
    tensor((4,), (1,)),
    tensor((2, 2), (2, 1)),
    dict_of(model=tensor((4,), (1,))),
]


@composite
def programs(draw: Any) -> Case:
    """Operations in any order, in an archive or not."""
    steps = program(*draw(lists(sampled_from(STEPS), min_size=1, max_size=12)))
    if draw(integers(0, 2)):
        return Case("operations", archive(steps, **{"data/0": bytes(16), "data/1": bytes(4)}))
    return Case("operations", legacy(steps, ["0"], struct.pack("<q", 4) + bytes(16)))


@composite
def structures(draw: Any) -> Case:
    """What torch.save and safetensors write of weights that are others, elsewhere or missing."""
    weights: dict[Any, Any] = dict(draw(sampled_from((WEIGHTS, bridge_state_dict(WEIGHTS)))))
    for _ in range(draw(integers(1, 4))):
        name = draw(
            sampled_from(sorted(weights)) | sampled_from(sorted(NAMES.axes)) | text(max_size=8)
        )
        shape = draw(lists(integers(0, 4), max_size=4))
        weights[name] = torch.ones(shape, dtype=draw(sampled_from(FLOATS[:2])))
        if not draw(integers(0, 3)):
            del weights[name]
    metadata = draw(sampled_from((None, None, {"n_heads": "2"}, {"n_heads": "3"})))
    form = draw(sampled_from(FORMS))
    prefix = draw(sampled_from(("", "", "module.", "_orig_mod.", "x.")))
    weights = {prefix + name: tensor for name, tensor in weights.items()}
    if form != "safetensors":
        more = draw(dictionaries(text(max_size=5) | integers(), ANYTHING, max_size=3))
        key = draw(sampled_from(("model", "state_dict", "weights", 1, ("model",))))
        nested = {key: weights, **more}
        weights = draw(sampled_from((weights, nested, {**weights, **more}, [weights], nested)))
    return Case("structure", saved(weights, form, metadata), suffix(form))
