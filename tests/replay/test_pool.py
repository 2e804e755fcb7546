"""Tensors to a file and back: dtypes, strides, sharing; and what a hostile description may not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whynan.errors import CaseError
from whynan.replay.pool import Pool, reach
from whynan.replay.tensorfile import TensorFile

W = torch.arange(20.0).reshape(4, 5)
TENSORS = {
    "weight": W,
    "transposed": W.t(),
    "window": W[1:3, ::2],
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "expanded": torch.ones(1).expand(1000, 1000),
    "tail": torch.randn(100)[37:40],
    "conj": torch.tensor([1 + 2j]).conj(),
    "bad": torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0]),
    "coo": torch.eye(3).to_sparse(),
    "csr": torch.eye(3).to_sparse_csr(),
    "bytes": W.view(torch.int32)[0],
} | {
    name: torch.tensor([0, 1, 2]).to(getattr(torch, name))
    for name in "float16 bfloat16 float64 complex64 complex128 bool int8 int16 int32 uint8 uint16 "
    "float8_e4m3fn float8_e5m2".split()
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[TensorFile, dict[str, Any]]:
    pool, path = Pool(), tmp_path_factory.mktemp("pool") / "t.safetensors"
    entries = {name: pool.add(name, tensor) for name, tensor in TENSORS.items()}
    pool.freeze()
    text = json.dumps({name: pool.place(entry) for name, entry in entries.items()})  # as a case keeps it
    pool.write(path)
    return TensorFile(path), json.loads(text)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout != b.layout or a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.layout is not torch.strided:
        return torch.equal(a.to_dense(), b.to_dense())
    raw = [t.resolve_conj().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
    return torch.equal(*raw)


@pytest.mark.parametrize("name", TENSORS)
def test_bit_for_bit(stored: tuple[TensorFile, dict[str, Any]], name: str) -> None:
    file, entries = stored
    back, tensor = file.read(entries[name]), TENSORS[name]
    assert same(back, tensor)
    if tensor.layout is torch.strided:
        assert back.stride() == tensor.stride()


def test_shared_memory_is_shared_again(stored: tuple[TensorFile, dict[str, Any]]) -> None:
    file, entries = stored
    weight, other = file.read(entries["weight"]), file.read(entries["transposed"])
    weight[0, 1] = 99
    assert other[1, 0] == 99
    weight[0, 1] = W[0, 1]


def test_an_expanded_tensor_stays_small() -> None:
    pool = Pool()
    pool.add("x", torch.ones(1).expand(1000, 1000))
    assert pool.nbytes < 64


def test_a_pool_holds_what_was_there_then(tmp_path: Path) -> None:
    pool, tensor = Pool(), torch.zeros(3)
    entry = pool.add("x", tensor)
    pool.freeze()
    tensor.fill_(1)
    pool.write(tmp_path / "x.safetensors")
    assert TensorFile(tmp_path / "x.safetensors").read(pool.place(entry)).tolist() == [0, 0, 0]


def test_what_has_no_numbers_is_not_held() -> None:
    assert Pool().add("x", torch.empty(3, device="meta")) is None


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
@settings(max_examples=40, deadline=None)
def test_reach_covers_every_element(shape: list[int], data: st.DataObject) -> None:
    stride = [data.draw(st.integers(0, 5)) for _ in shape]
    index = torch.cartesian_prod(*[torch.arange(n) for n in shape]).reshape(-1, len(shape))
    assert reach(shape, stride) == int((index * torch.tensor(stride)).sum(1).max()) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [1 << 30, 1 << 30], "stride": [0, 0]}, "too large"),
        ({"shape": [1 << 20, 1 << 20], "stride": [0, 0]}, "too large"),
        ({"shape": [5, 5]}, "more memory than"),
        ({"start": 4}, "more memory than"),
        ({"start": 3}, "strides that do not fit"),
        ({"start": -4}, "strides that do not fit"),
        ({"stride": [-5, 1]}, "no list of whole numbers"),
        ({"stride": [5]}, "strides that do not fit"),
        ({"shape": "4"}, "no list of whole numbers"),
        ({"shape": [4.0, 5.0]}, "no list of whole numbers"),
        ({"dtype": "object"}, "dtype 'object'"),
        ({"dtype": ["float32"]}, "dtype"),
        ({"dtype": "float64"}, "more memory than"),
        ({"key": "../secret"}, "which the file does not hold"),
        ({"key": None}, "which the file does not hold"),
        ({"layout": "jagged"}, "layout 'jagged'"),
    ],
)
def test_hostile_descriptions(stored: tuple[TensorFile, dict[str, Any]], change: dict[str, Any], message: str) -> None:
    file, entries = stored
    with pytest.raises(CaseError, match=message) as caught:
        file.read({**entries["weight"], **change}, "leaf 'x'")
    assert str(file.path) in str(caught.value) and "leaf 'x'" in str(caught.value)


def test_hostile_sparse(stored: tuple[TensorFile, dict[str, Any]]) -> None:
    file, entries = stored
    with pytest.raises(CaseError, match="is no sparse_coo tensor"):
        file.read({**entries["coo"], "shape": [2, 2]})


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\xff" * 64, b"PK\x03\x04"])
def test_no_safetensors_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(CaseError, match="is no safetensors file"):
        TensorFile(tmp_path / "x.safetensors")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="is missing"):
        TensorFile(tmp_path / "x.safetensors")
