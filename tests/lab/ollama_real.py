"""A real ``ollama`` with a tiny model, to hold the stand-in against.

The model is a GGUF of the llama architecture with 259 byte-level tokens, written here: nothing is
downloaded and nothing is trained. Attention and feed-forward weights are zero, so the last token
alone decides: at temperature 0 a letter is followed by the next one, ``z`` by a space, anything
else by ``a``. It never ends by itself: num_predict is the exact length.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import httpx

from tests.lab.ollama_alone import WAIT, free_port, wait_until_up

ENV = "CLAWFLEET_REAL_OLLAMA"
DIM, LAYERS, HEADS, KV_HEADS, FFN, CONTEXT = 64, 2, 4, 2, 128, 8192
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _INT32 = 4, 6, 7, 8, 9, 5
_ALIGN = 32
_LETTERS = b"abcdefghijklmnopqrstuvwxyz "


def real_ollama() -> str | None:
    """The binary that ``CLAWFLEET_REAL_OLLAMA`` names; None where it is not set."""
    return os.environ.get(ENV) or None


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _field(key: str, kind: int, value: bytes) -> bytes:
    return _string(key.encode()) + struct.pack("<I", kind) + value


def _number(key: str, value: int) -> bytes:
    return _field(key, _UINT32, struct.pack("<I", value))


def _text(key: str, value: str) -> bytes:
    return _field(key, _STRING, _string(value.encode()))


def _flag(key: str, value: bool) -> bytes:
    return _field(key, _BOOL, struct.pack("<?", value))


def _array(key: str, kind: int, values: Iterable[bytes]) -> bytes:
    items = list(values)
    return _field(key, _ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def _metadata(tokens: list[bytes], kinds: list[int]) -> list[bytes]:
    return [
        _text("general.architecture", "llama"),
        _text("general.name", "tiny-bytes"),
        _number("general.file_type", 0),
        _number("general.quantization_version", 2),
        _number("llama.context_length", CONTEXT),
        _number("llama.embedding_length", DIM),
        _number("llama.block_count", LAYERS),
        _number("llama.feed_forward_length", FFN),
        _number("llama.attention.head_count", HEADS),
        _number("llama.attention.head_count_kv", KV_HEADS),
        _field("llama.attention.layer_norm_rms_epsilon", _FLOAT32, struct.pack("<f", 1e-5)),
        _number("llama.rope.dimension_count", DIM // HEADS),
        _number("llama.vocab_size", len(tokens)),
        _text("tokenizer.ggml.model", "llama"),
        _text("tokenizer.ggml.pre", "default"),
        _array("tokenizer.ggml.tokens", _STRING, (_string(token) for token in tokens)),
        _array("tokenizer.ggml.scores", _FLOAT32, [struct.pack("<f", 0.0)] * len(tokens)),
        _array("tokenizer.ggml.token_type", _INT32, (struct.pack("<i", kind) for kind in kinds)),
        _number("tokenizer.ggml.unknown_token_id", 0),
        _number("tokenizer.ggml.bos_token_id", 1),
        _number("tokenizer.ggml.eos_token_id", 2),
        _flag("tokenizer.ggml.add_bos_token", True),
        _flag("tokenizer.ggml.add_eos_token", False),
        _flag("tokenizer.ggml.add_space_prefix", False),
    ]


def _byte_token(byte: int) -> int:
    return 3 + byte


def _successor(byte: int) -> int:
    if ord("a") <= byte < ord("z"):
        return byte + 1
    return ord(" ") if byte == ord("z") else ord("a")


def _embedding(vocabulary: int) -> list[list[float]]:
    """One axis for each letter, one more for everything else."""
    rows = []
    for token in range(vocabulary):
        byte = token - 3
        axis = _LETTERS.find(max(byte, 0))
        axis = len(_LETTERS) if axis < 0 else axis
        rows.append([1.0 if column == axis else 0.0 for column in range(DIM)])
    return rows


def _head(vocabulary: int) -> list[list[float]]:
    """Each axis votes for the successor of its letter."""
    rows = [[0.0] * DIM for _ in range(vocabulary)]
    for axis, byte in enumerate(_LETTERS):
        rows[_byte_token(_successor(byte))][axis] += 4.0
    rows[_byte_token(ord("a"))][len(_LETTERS)] += 4.0
    return rows


def _flat(rows: list[list[float]]) -> bytes:
    return b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)


def _tensors(vocabulary: int) -> list[tuple[str, tuple[int, ...], bytes]]:
    """(name, shape with the fastest dimension first, little-endian floats)."""
    kv_width = KV_HEADS * DIM // HEADS
    ones = _flat([[1.0] * DIM])
    found = [
        ("token_embd.weight", (DIM, vocabulary), _flat(_embedding(vocabulary))),
        ("output_norm.weight", (DIM,), ones),
        ("output.weight", (DIM, vocabulary), _flat(_head(vocabulary))),
    ]
    shapes = {
        "attn_q": (DIM, DIM),
        "attn_k": (DIM, kv_width),
        "attn_v": (DIM, kv_width),
        "attn_output": (DIM, DIM),
        "ffn_gate": (DIM, FFN),
        "ffn_up": (DIM, FFN),
        "ffn_down": (FFN, DIM),
    }
    for layer in range(LAYERS):
        found.append((f"blk.{layer}.attn_norm.weight", (DIM,), ones))
        found.append((f"blk.{layer}.ffn_norm.weight", (DIM,), ones))
        for name, (width, height) in shapes.items():
            zeros = bytes(4 * width * height)
            found.append((f"blk.{layer}.{name}.weight", (width, height), zeros))
    return found


def tiny_gguf() -> bytes:
    """The whole file, the same bytes each time."""
    tokens = [b"<unk>", b"<s>", b"</s>"] + [f"<0x{byte:02X}>".encode() for byte in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    metadata = _metadata(tokens, kinds)
    tensors = _tensors(len(tokens))
    infos, data = b"", b""
    for name, shape, raw in tensors:
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        infos += _string(name.encode()) + dimensions + struct.pack("<IQ", 0, len(data))
        data += raw + bytes(-len(raw) % _ALIGN)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(metadata) + infos
    return head + bytes(-len(head) % _ALIGN) + data


def load_tiny(url: str, name: str) -> None:
    """Put the model into a running server, real or not, by its API."""
    raw = tiny_gguf()
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        client.post(f"/api/blobs/{digest}", content=raw).raise_for_status()
        body = {"model": name, "files": {"tiny.gguf": digest}, "stream": False}
        client.post("/api/create", json=body).raise_for_status()


class RealOllama:
    """A real server with a store of its own."""

    def __init__(self, binary: str, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_CONTEXT_LENGTH": "2048",
        }
        with (folder / "serve.log").open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve"], env=environment, stdout=log, stderr=log
            )
        wait_until_up(self.url, self.process)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT)
