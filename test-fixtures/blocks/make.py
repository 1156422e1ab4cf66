"""Makes vectors.json: what ggml itself reads from blocks, and how it quantises.

    npm pack @node-llama-cpp/linux-x64@3.22.1 && tar xzf node-llama-cpp-linux-x64-3.22.1.tgz
    python3 make.py package/bins/linux-x64/libggml-base.so vectors.json

Calls the library's own dequantize_row_* and ggml_quantize_chunk (no importance matrix) by ctypes; needs numpy. With
the PyPI package `gguf` installed, its numpy dequantisation must agree to the bit, or nothing is written.

Blocks and weights follow from the formulas below, which ../blocks.ts repeats; the file holds one whole block of each
type and hashes of the rest, so it stays small.
"""

import ctypes
import hashlib
import json
import sys

import numpy as np

TYPES = {  # name: (ggml type, values, bytes, offsets of the f16 fields)
    "Q4_0": (2, 32, 18, [0]),
    "Q4_1": (3, 32, 20, [0, 2]),
    "Q5_0": (6, 32, 22, [0]),
    "Q5_1": (7, 32, 24, [0, 2]),
    "Q8_0": (8, 32, 34, [0]),
    "Q2_K": (10, 256, 84, [80, 82]),
    "Q3_K": (11, 256, 110, [108]),
    "Q4_K": (12, 256, 144, [0, 2]),
    "Q5_K": (13, 256, 176, [0, 2]),
    "Q6_K": (14, 256, 210, [208]),
}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x7BFF, 0xFBFF, 0x3C00, 0xBC00, 0x7C00, 0x7E00]
BLOCKS = 40

library = ctypes.CDLL(sys.argv[1])


class Random:
    """The upper 16 bits of a linear congruential generator."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return self.state >> 16


def blocks_of(size, halves, seed):
    """Random bytes; the f16 fields are random with exponents of 2^-9 … 2^6, or in the first blocks special in turn."""
    random = Random(seed)
    blocks = np.array([[random.next() & 255 for _ in range(size)] for _ in range(BLOCKS)], np.uint8)
    for i, block in enumerate(blocks):
        for field, at in enumerate(halves):
            bits = (random.next() & 0xBFFF) % 0x4000 + 0x1800 + (random.next() & 0x8000)
            if i < 2 * len(SPECIAL) and i % len(halves) == field:
                bits = SPECIAL[i // 2]
            block[at], block[at + 1] = bits & 255, bits >> 8
    return blocks


def weights():
    """Rows of 256: as weights are, and the shapes that break quantisers. Sums of integers, so exact everywhere."""
    random = Random(77)
    bell = lambda: sum(random.next() for _ in range(6)) - 6 * 32768 + 3  # noqa: E731
    rows = [[bell() * 2.0**-22 for _ in range(256)] for _ in range(10)]
    rows += [[bell() * (1 + random.next() % 7) * 2.0**-20 for _ in range(256)] for _ in range(4)]
    rows += [[random.next() * 2.0**-15 - 1 for _ in range(256)], [random.next() * 2.0**-16 for _ in range(256)]]
    rows += [[random.next() * 2.0**-15 - 3 for _ in range(256)]]
    outlier = [bell() * 2.0**-22 for _ in range(256)]
    outlier[7], outlier[200] = 4.0, -2.5
    lonely = [0.0] * 256
    lonely[131] = -0.75
    part = [0.0 if 32 <= i < 96 else bell() * 2.0**-17 for i in range(256)]
    ties = [(random.next() % 31 - 15) / 2 for _ in range(256)]
    rows += [outlier, lonely, part, ties, [0.0] * 256, [0.3125] * 256, [-0.3125] * 256]
    rows += [[bell() * 2.0**-44 for _ in range(256)], [bell() * 2.0**-5 for _ in range(256)]]
    return np.array(rows, np.float32)


def dequantised(name, blocks):
    out = np.empty((len(blocks), TYPES[name][1]), np.float32)
    read = getattr(library, f"dequantize_row_{name.lower().replace('_k', '_K')}")
    read(pointer(blocks), pointer(out), ctypes.c_int64(out.size))
    return out


def quantised(name, x):
    kind, values, size, _ = TYPES[name]
    out = np.empty((x.shape[0], x.shape[1] // values * size), np.uint8)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    rows, columns = (ctypes.c_int64(n) for n in x.shape)
    none = ctypes.c_void_p(None)
    written = library.ggml_quantize_chunk(
        ctypes.c_int(kind), pointer(x), pointer(out), ctypes.c_int64(0), rows, columns, none
    )
    assert written == out.size, (name, written, out.size)
    return out


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def compare(name, blocks, values):
    try:
        from gguf import GGMLQuantizationType, dequantize
    except ImportError:
        print("gguf is not installed: no second opinion on", name)
        return
    theirs = dequantize(blocks.reshape(-1), GGMLQuantizationType(TYPES[name][0])).reshape(values.shape)
    same = (theirs.view(np.uint32) == values.view(np.uint32)) | (np.isnan(theirs) & np.isnan(values))
    assert same.all(), f"{name}: ggml and gguf differ in {np.count_nonzero(~same)} values"


def short(array):
    """A hash of the bytes, each NaN as 7fc00000."""
    if array.dtype == np.float32:
        array = np.where(np.isnan(array), np.float32(np.nan), array).astype(np.float32)
        array.view(np.uint32)[np.isnan(array)] = 0x7FC00000
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def vectors_of(name, seed, x):
    _, values, size, halves = TYPES[name]
    blocks = blocks_of(size, halves, seed)
    read = dequantised(name, blocks)
    with np.errstate(all="ignore"):
        compare(name, blocks, read)
    made = quantised(name, x)
    back = dequantised(name, made.reshape(-1, size)).reshape(x.shape)
    error = np.sqrt(np.mean((back.astype(np.float64) - x) ** 2, axis=1))
    return {
        "block": blocks[-1].tobytes().hex(),
        "values": read[-1].tobytes().hex(),
        "hashes": [short(row) for row in read],
        "quantised": [short(row) for row in made],
        "error": [float(f"{e:.6g}") for e in error],
    }


def main():
    x = weights()
    vectors = {name: vectors_of(name, 1000 + i, x) for i, name in enumerate(TYPES)}
    with open(sys.argv[2], "w", encoding="utf8") as file:
        json.dump({"weights": short(x), **vectors}, file, indent=0)
        file.write("\n")


main()
