"""What the name of a GPU kernel says about it."""

from __future__ import annotations

import re

# Products of matrices by Tensor Cores: the shape of the instruction, its name, or a family that has no other kind.
_TENSOR_CORE = re.compile(
    r"""
      _tensor\d+x\d+x\d+                   # XMMA: ..._tensor16x8x16_..., where others have ..._ffma_...
    | xmma_.*_warpgroupsize\d              # XMMA for Hopper
    | (?:[HIQDBW]G?|G)MMA
    | (?<![a-zA-Z])(?:[hiqdbw]g?|g)mma(?![a-zA-Z])
    | (?<![a-zA-Z0-9])[shidb](?:884|1688|8816|8832|16816|16832|16864|161616)(?!\d)
    | tensorop                             # CUTLASS, which calls the others simt
    """,
    re.VERBOSE,
)

# XMMA, after what it does: types of input and output, of multiplication and sum, and of what comes after the sum.
_TYPE = "(?:bf16|tf32|f16|f32|f64|i8|u8|i32|e4m3|e5m2)"
_XMMA = re.compile(f"xmma_.*?_{_TYPE}{_TYPE}_({_TYPE}){_TYPE}_{_TYPE}_")
_XMMA_PRECISIONS = {"i8": "INT8", "u8": "INT8", "f16": "FP16", "bf16": "BF16", "tf32": "TF32", "f32": "FP32"}

# Kernels that only move or convert data: their types say how it is stored, and nothing is computed.
_MOVES = re.compile(
    r"(?i)reformat|permutation|transpose|shuffl|(?:nchw|nhwc)to(?:nchw|nhwc)|convertTensor|copy|concat|gather|slic"
    r"|PadInput|PaddingOp|scalar_cast_op|conversion_op|^cast_gpu_"
)

_COMPUTES = tuple(
    (precision, re.compile(pattern))
    for precision, pattern in (
        ("BF16", r"(?i)(?<![a-z])bf16|bfloat16"),
        ("INT8", r"INT8|(?<![A-Za-z])int8(?!_t)|IMMA|(?<![a-zA-Z])imma|(?<![a-zA-Z0-9])i(?:8816|8832|16832)(?!\d)"),
        ("TF32", r"tf32"),
        ("FP16", r"(?<![a-z])(?:fp16|f16)|(?<![a-zA-Z0-9])h(?:884|1688|16816|161616|gemm)|hcudnn|HMMA"),
        ("TF32", r"(?<![a-zA-Z0-9])s1688(?!\d)"),  # nothing having said FP16
        ("FP32", r"f32f32_f32f32|ffma|sgemm|scudnn"),
        ("FP16", r"__half2?(?![a-z0-9])|(?<![a-z_])half(?![a-z0-9_])|_GPU_DT_HALF_DT_"),
        ("FP32", r"(?<![a-z_])float(?![a-z0-9_])|_GPU_DT_FLOAT_DT_"),
    )
)


def uses_tensor_cores(name: str) -> bool:
    """Whether a kernel's name says that it multiplies on Tensor Cores."""
    return _TENSOR_CORE.search(name) is not None


def precision_of(name: str) -> str | None:
    """INT8, FP16, BF16, TF32 or FP32, that a kernel computes in; None where its name tells none, or it moves data."""
    xmma = _XMMA.search(name)
    if xmma:
        return _XMMA_PRECISIONS.get(xmma[1])
    if _MOVES.search(name):
        return None
    return next((precision for precision, pattern in _COMPUTES if pattern.search(name)), None)
