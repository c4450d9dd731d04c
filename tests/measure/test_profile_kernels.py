"""What kernels' names say: every one of the recordings, and others that NVIDIA's libraries are known to use."""

from __future__ import annotations

from functools import cache

import pytest

from bench.measure.kernels import precision_of, uses_tensor_cores
from bench.measure.profile import COPIES
from bench.measure.xplane import read_lines
from tests.measure.spaces import RECORDED, recorded

# How a name begins, in the recordings: on Tensor Cores or not, and the precision.
SEEN = {
    "ampere_first_layer_filter3x3_imma_fwd": (True, "INT8"),
    "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16": (True, "FP16"),
    "sm80_xmma_fprop_implicit_gemm_indexed_wo_smem_f16f16_f16f16_f16": (True, "FP16"),
    "sm80_xmma_fprop_implicit_gemm_indexed_wo_smem_tf32f32_tf32f32_f32": (True, "TF32"),
    "sm80_xmma_fprop_implicit_gemm_interleaved_i8f16_i8i32_f32": (True, "INT8"),
    "sm80_xmma_fprop_implicit_gemm_interleaved_i8f32_i8i32_f32": (True, "INT8"),
    "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32": (True, "INT8"),
    "sm80_xmma_gemm_f16f16_f16f16_f16": (True, "FP16"),
    "sm80_xmma_gemm_f32f32_f32f32_f32": (False, "FP32"),  # ..._ffma_...
    "sm86_xmma_gemm_f32f32_tf32f32_f32": (True, "TF32"),
    "void CUTENSOR_NAMESPACE::permutationKernelPLC3<": (False, None),
    "void Eigen::internal::EigenMetaKernel<Eigen::TensorEvaluator<": (False, "FP32"),
    "void cuDepthwise::depthwiseConvHMMAPrefetchKernel<__half, float": (True, "FP16"),
    "void cuDepthwise::depthwiseConvINT8SpecializedKernel<": (False, "INT8"),
    "void cuInt8::nchwTonhwc<float, 32, 4, 2>(float const*, __half*": (False, None),
    "void cuInt8::nhwcTonchw<__half, 32, 32, 2>(__half const*, __half*": (False, None),
    "void cuInt8::nhwcTonchw<float, 32, 32, 2>(__half const*, float*": (False, None),
    "void cuReduceLayer::nonTailReduceFast<32u, (nvinfer1::ReduceOp)4, __half, float": (False, "FP16"),
    "void cuReduceLayer::nonTailReduceFast<32u, (nvinfer1::ReduceOp)4, float, float": (False, "FP32"),
    "void cuReduceLayer::tailReduceFast<32u, (nvinfer1::ReduceOp)4, float, float": (False, "FP32"),
    "void cuSoftMaxLayer::nchwSoftmaxAxisW<__half": (False, "FP16"),
    "void cuSoftMaxLayer::nchwSoftmaxAxisW<float": (False, "FP32"),
    "void cudnn::bn_fw_inf_1C11_kernel_NHWC<float": (False, "FP32"),
    "void cudnn::ops::convertTensor_kernel<float": (False, None),
    "void cutlass::Kernel<cutlass_80_simt_sgemm": (False, "FP32"),
    "void genericReformat::copyPackedKernel<__half": (False, None),
    "void genericReformat::copyPackedKernel<float": (False, None),
    "void genericReformat::copyVectorizedKernel<double, __half": (False, None),
    "void genericReformat::copyVectorizedKernel<double, float, signed char": (False, None),
    "void nvinfer1::sdcrr::kernelFramework<": (True, "INT8"),  # MathModuleDSConvIMMAReusePRMT
    "void splitKreduce_kernel<32, 16, int, float": (False, "FP32"),
    "void tensorflow::(anonymous namespace)::GenerateNormalizedProb<float": (False, "FP32"),
    "void tensorflow::BiasNHWCKernel<float>": (False, "FP32"),
    "void tensorflow::DepthwiseConv2dGPUKernelNHWC<float": (False, "FP32"),
    "void tensorflow::DepthwiseConv2dGPUKernelNHWCSmall<float": (False, "FP32"),
    "void tensorflow::functor::ColumnReduceSimpleKernel<float*": (False, "FP32"),
    "void tensorflow::functor::PadInputCustomKernelNHWC<float": (False, None),
    "void tensorflow::functor::RowReduceKernel<cub::TransformInputIterator<float": (False, "FP32"),
    "void tensorflow::functor::RowReduceKernel<float": (False, "FP32"),
    "void tensorflow::functor::ShuffleInTensor3Simple<float": (False, None),
}

KNOWN = {
    "ampere_h16816gemm_128x64_ldg8_stages_64x4_nn": (True, "FP16"),
    "ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_32x6_nn": (True, "FP16"),
    "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_32x6_nn": (True, "BF16"),
    "ampere_sgemm_32x128_tn": (False, "FP32"),
    "ampere_scudnn_128x64_relu_interior_nn_v1": (False, "FP32"),
    "volta_sgemm_128x64_nn": (False, "FP32"),
    "volta_h884gemm_256x64_ldg8_nn": (True, "FP16"),
    "volta_fp16_s884cudnn_fp16_128x128_ldg8_relu_f2f_exp_interior_nhwc2nchw_tn_v1": (True, "FP16"),
    "trt_turing_h1688cudnn_256x64_ldg8_relu_exp_small_nhwc_tn_v1": (True, "FP16"),
    "trt_turing_int8_i8816cudnn_int8_256x128_ldg16_relu_singleBuffer_medium_nt_v1": (True, "INT8"),
    "trt_ampere_int8x4_icudnn_int8x4_128x64_relu_interior_nn_v1": (False, "INT8"),
    "cutlass::Kernel<cutlass_80_tensorop_s1688gemm_128x128_16x4_nn_align4>": (True, "TF32"),
    "cutlass::Kernel<cutlass_75_tensorop_f16_s1688gemm_f16_256x128_nn_align8>": (True, "FP16"),
    "cutlass::Kernel<cutlass_80_tensorop_i16832gemm_s8_256x128_64x3_tn_align16>": (True, "INT8"),
    "cutlass::Kernel<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_16x16_128x2_tn_align8>": (True, "BF16"),
    "cutlass::Kernel<cutlass_80_tensorop_d884gemm_32x32_16x5_nn_align1>": (True, None),
    "sm90_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off_kernel": (
        True,
        "FP16",
    ),
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x64x64_warpgroupsize1x1x1_execute_kernel__5x": (True, "BF16"),
    "sm80_xmma_fprop_implicit_gemm_f32f32_f32f32_f32_nchwkcrs_nchw_tilesize64x64x8_stage3_ffma_kernel": (False, "FP32"),
    "void cutlass::device_kernel<SM90_64x128x16_F32F16F16_SS, GMMA>": (True, None),
    "void Eigen::internal::EigenMetaKernel<Eigen::TensorMap<Eigen::Tensor<Eigen::half, 1>>>": (False, "FP16"),
    "void Eigen::internal::EigenMetaKernel<Eigen::scalar_lgamma_op<float>, Eigen::TensorMap<>>": (False, "FP32"),
    "void Eigen::internal::EigenMetaKernel<Eigen::internal::scalar_cast_op<unsigned char, float>>": (False, None),
    "void Eigen::internal::EigenMetaKernel<Eigen::TensorBroadcastingOp<float>>": (False, "FP32"),
    "void tensorflow::functor::BlockReduceKernel<int*, int*, 256, cub::Sum>": (False, None),
    "void transposeTensorMap_tensor16<float>": (False, None),
    "void xmma::copy<float>": (False, None),
    "void addFloats(double*, float4*)": (False, None),
    "gamma_884x1688_kernel": (False, None),
    "Cast_GPU_DT_UINT8_DT_FLOAT_kernel": (False, None),
    "Cast_GPU_DT_UINT8_DT_HALF_kernel": (False, None),
    "AddV2_GPU_DT_FLOAT_DT_FLOAT_kernel": (False, "FP32"),
    "Mul_GPU_DT_HALF_DT_HALF_kernel": (False, "FP16"),
}


@cache
def names() -> list[str]:
    lines = [line for name in RECORDED for line in read_lines(recorded(name)) if line.of_gpu]
    return sorted({event.name for line in lines for event in line.events} - set(COPIES))


def test_every_recorded_name_says_what_it_should() -> None:
    for name in names():
        begins = max((begin for begin in SEEN if name.startswith(begin)), key=len, default="")
        assert begins, f"{name} is in no list"
        assert (uses_tensor_cores(name), precision_of(name)) == SEEN[begins], name


def test_every_beginning_is_in_a_recording() -> None:
    assert [begin for begin in SEEN if not any(name.startswith(begin) for name in names())] == []


@pytest.mark.parametrize("name", KNOWN)
def test_other_names(name: str) -> None:
    assert (uses_tensor_cores(name), precision_of(name)) == KNOWN[name]
