"""Makes vectors.safetensors: what ggml itself reads from blocks, and how it quantises.

    npm pack @node-llama-cpp/linux-x64@3.22.1 && tar xzf node-llama-cpp-linux-x64-3.22.1.tgz
    python3 make.py package/bins/linux-x64/libggml-base.so vectors.safetensors

Calls the library's own dequantize_row_* and ggml_quantize_chunk (no importance matrix) by ctypes; needs numpy. With
the PyPI package `gguf` installed, its numpy dequantisation must agree to the bit, or nothing is written.
"""

import ctypes
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

library = ctypes.CDLL(sys.argv[1])
random = np.random.default_rng(20260417)


def blocks_of(values, size, halves):
    """Random blocks: every byte drawn, the f16 fields sane or one of the special values."""
    count = 40 if values == 32 else 18
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for at in halves:
        scales = (random.standard_normal(count) * 10.0 ** random.integers(-5, 2, count)).astype(np.float16)
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
    for i, bits in enumerate(SPECIAL):  # each field in turn is special
        at = halves[i % len(halves)]
        blocks[i, at : at + 2] = [bits & 255, bits >> 8]
    return blocks


def dequantised(name, blocks, values):
    out = np.empty(len(blocks) * values, np.float32)
    read = getattr(library, f"dequantize_row_{name.lower().replace('_k', '_K')}")
    read(blocks.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(out.size))
    return out


def quantised(kind, size, x):
    out = np.empty((x.size // x.shape[1]) * size * x.shape[1] // VALUES[kind], np.uint8)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    written = library.ggml_quantize_chunk(
        ctypes.c_int(kind), x.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(x.shape[0]), ctypes.c_int64(x.shape[1]), ctypes.c_void_p(None),
    )  # fmt: skip
    assert written == out.size, (kind, written, out.size)
    return out


VALUES = {kind: values for kind, values, _, _ in TYPES.values()}


def weights():
    """Rows of 256: as weights are, and the shapes that break quantisers."""
    rows = [random.standard_normal(256) * 0.02 for _ in range(10)]
    rows += [random.laplace(size=256) * 0.05 for _ in range(4)]
    rows += [random.uniform(-1, 1, 256), random.uniform(0, 1, 256), random.uniform(-3, -1, 256)]
    outlier = random.standard_normal(256) * 0.01
    outlier[[7, 200]] = [4.0, -2.5]
    lonely = np.zeros(256)
    lonely[131] = -0.7
    half = random.standard_normal(256)
    half[32:96] = 0
    ties = (random.integers(-15, 16, 256)) / 2.0
    rows += [outlier, lonely, half, ties, np.zeros(256), np.full(256, 0.3), np.full(256, -0.3)]
    rows += [random.standard_normal(256) * 1e-9, random.standard_normal(256) * 3e3]
    return np.array(rows, np.float32)


def compare(name, kind, blocks, ours):
    try:
        from gguf import GGMLQuantizationType, dequantize
    except ImportError:
        print("gguf is not installed: no second opinion on", name)
        return
    theirs = dequantize(blocks.reshape(-1), GGMLQuantizationType(kind))
    same = (theirs.view(np.uint32) == ours.view(np.uint32)) | (np.isnan(theirs) & np.isnan(ours))
    assert same.all(), f"{name}: ggml and gguf differ in {np.count_nonzero(~same)} values"


def main():
    x = weights()
    tensors = {"weights": x}
    for name, (kind, values, size, halves) in TYPES.items():
        blocks = blocks_of(values, size, halves)
        out = dequantised(name, blocks, values)
        with np.errstate(all="ignore"):
            compare(name, kind, blocks, out)
        tensors[f"{name}.blocks"] = blocks
        tensors[f"{name}.values"] = out.reshape(len(blocks), values)
        tensors[f"{name}.quantised"] = quantised(kind, size, x).reshape(-1, size)
    write(sys.argv[2], tensors)


def write(path, tensors):
    ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)
    header, at = {}, 0
    for name, array in ordered:
        kind = {1: "U8", 4: "F32"}[array.itemsize]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            file.write(array.tobytes())


main()
