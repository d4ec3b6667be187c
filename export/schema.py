"""What may stand in a manifest: the type and the range of each value, and what fits together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

# As TensorFlow Serving counts versions.
GREATEST_VERSION = 2**63 - 1
_Flag = Annotated[bool, Field(strict=True)]
_Text = Annotated[str, Field(strict=True, max_length=1000)]
_Hash = Annotated[str, Field(strict=True, pattern="^[0-9a-f]{64}$")]
_Size = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
# Far beyond any encoder, and little enough to be allocated for one row.
_Side = Annotated[int, Field(strict=True, ge=1, le=4096)]
_Width = Annotated[int, Field(strict=True, ge=1, le=1 << 16)]
_Dimension = Annotated[float, Field(allow_inf_nan=False)]
_Table = dict[str, Any]
_PART, _NAME = 255, 4000  # what file systems take


class _Values(BaseModel):
    model_config = ConfigDict(extra="ignore")  # entries of a later version


class _Tensor(_Values):
    input: _Text
    dtype: Literal["string", "int32", "int64", "float32", "float64", "uint8"]
    shape: Annotated[list[_Size | None], Field(min_length=1, max_length=8)]


class _Onnx(_Tensor):
    file: _Text
    int8: _Text = ""


class _Output(_Values):
    output: Literal["embedding"]
    dtype: Literal["float32"]
    shape: tuple[None, _Width]


class _Encoder(_Values):
    encoder: _Text
    signatures: dict[_Text, _Tensor]
    output: _Output | None = None
    onnx: _Onnx | None = None
    kind: _Text = ""


class _Preprocessing(_Values):
    height: _Side
    width: _Side
    resize: Literal["bilinear", "bicubic"]
    value_range: tuple[_Dimension, _Dimension]
    orientation: Literal["exif", "ignored"] = "ignored"


class _Tokenizer(_Values):
    kind: Literal["wordpiece", "bert", "sentencepiece", "bytepair"]
    vocabulary_size: Annotated[int, Field(strict=True, ge=2, le=10_000_000)]
    max_length: Annotated[int, Field(strict=True, ge=1, le=1 << 16)]
    lower_case: _Flag
    strip_accents: _Flag = False
    rules: Literal[""] | _Hash = ""
    captions_compared: Annotated[int, Field(strict=True, ge=0)] = 0


class _Hubs(_Values):
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    neighbours: _Size
    images: _Size
    captions: _Size


class _File(_Values):
    sha256: _Hash
    bytes: Annotated[int, Field(strict=True, ge=0, lt=2**63)]


class _Whole(_Values):
    name: _Text
    version: Annotated[int, Field(strict=True, ge=1, le=GREATEST_VERSION)]
    created: _Text
    embedding_size: _Width
    image: _Encoder
    text: _Encoder
    preprocessing: _Preprocessing | None
    tokenizer: _Tokenizer
    training: _Table
    metrics: _Table
    recall: _Table
    verification: _Table
    formats: list[Literal["savedmodel", "onnx", "int8", "litert", "openvino"]]
    versions: dict[_Text, _Text]
    warnings: list[Annotated[str, Field(strict=True)]] = []
    nested_sizes: list[_Width] = []
    space: Literal[""] | _Hash = ""
    hubs: _Hubs | None = None
    files: dict[str, _File] = {}


def faults_of(values: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with the values of a manifest, a clause each; none if all is well.

    Example:
        >>> faults_of({"files": {"../secret": {}}})
        ['names files outside of the export: ../secret']
    """
    files = values.get("files")
    if isinstance(files, dict) and (outside := [name for name in files if not _is_name(name)]):
        return [f"names files outside of the export: {_few(outside)}"]
    try:
        whole = _Whole.model_validate(values)
    except ValidationError as error:
        return [f"{_few(map(str, each['loc']), '.')}: {each['msg']}" for each in error.errors()]
    return [
        f"{what}: {why}"
        for what, why, wrong in (
            ("embedding_size", "not that of the outputs", _other_size(whole)),
            ("nested_sizes", "not below embedding_size", _wide(whole)),
            ("preprocessing.value_range", "not 0 to 255", _other_range(whole.preprocessing)),
            ("formats", "named twice", len({*whole.formats}) < len(whole.formats)),
        )
        if wrong
    ]


def _is_name(name: str) -> bool:
    """Whether this is the path of a file in the folder, as a manifest writes it."""
    parts = name.split("/")
    sizes = [len(part.encode(errors="replace")) for part in parts]
    return (
        "\0" not in name
        and not {"", ".", ".."} & {*parts}
        and max(sizes) <= _PART
        and sum(sizes) <= _NAME
    )


def _few(names: Iterable[str], joint: str = ", ") -> str:
    text = joint.join(names)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _other_size(whole: _Whole) -> bool:
    outputs = [each.output for each in (whole.image, whole.text) if each.output]
    return any(each.shape[1] != whole.embedding_size for each in outputs)


def _wide(whole: _Whole) -> bool:
    return max(whole.nested_sizes, default=0) >= whole.embedding_size


def _other_range(preprocessing: _Preprocessing | None) -> bool:
    return preprocessing is not None and preprocessing.value_range != (0, 255)
