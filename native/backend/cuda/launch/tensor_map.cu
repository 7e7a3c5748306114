#include "backend/cuda/launch/tensor_map.h"

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace fedlora::cuda {
namespace {

/// The driver's encoder, asked for by name: the library is not linked to libcuda.
decltype(&cuTensorMapEncodeTiled) find_encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  constexpr unsigned since = 12000;  // CUDA 12.0
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, since, cudaEnableDefault, &found);
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess)
    throw std::runtime_error("the driver has no cuTensorMapEncodeTiled: it is older than CUDA 12.0");
  return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
}

CUtensorMap encode(const void* base, cuuint32_t dimensions, const cuuint64_t* size, const cuuint64_t* pitch, const cuuint32_t* box) {
  static const auto encoder = find_encoder();
  const cuuint32_t steps[] = {1, 1, 1};
  CUtensorMap map;
  const CUresult result = encoder(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, dimensions, const_cast<void*>(base), size, pitch, box, steps,
                                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    throw std::runtime_error("cuTensorMapEncodeTiled refuses a matrix of " + std::to_string(size[1]) + " × " + std::to_string(size[0]) +
                             ", pitch " + std::to_string(pitch[0]) + " bytes: error " + std::to_string(static_cast<int>(result)));
  return map;
}

constexpr cuuint64_t element = 2;

}  // namespace

CUtensorMap matrix_map(const void* base, int64_t rows, int64_t columns, int64_t pitch, int box_rows, int box_columns) {
  const cuuint64_t size[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t pitches[] = {static_cast<cuuint64_t>(pitch) * element};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(box_columns), static_cast<cuuint32_t>(box_rows)};
  return encode(base, 2, size, pitches, box);
}

CUtensorMap stack_map(const void* base, int64_t planes, int64_t rows, int64_t columns, int64_t pitch, int64_t plane, int box_rows,
                      int box_columns) {
  const cuuint64_t size[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows), static_cast<cuuint64_t>(planes)};
  const cuuint64_t pitches[] = {static_cast<cuuint64_t>(pitch) * element, static_cast<cuuint64_t>(plane) * element};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(box_columns), static_cast<cuuint32_t>(box_rows), 1};
  return encode(base, 3, size, pitches, box);
}

}  // namespace fedlora::cuda
