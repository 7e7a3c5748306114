#include "tensor_map.h"

#include <cstring>

#include "fault.h"

namespace emulator {
namespace {

constexpr uint64_t magic = 0x74656e736f726d61;

int element_bytes(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8:
      return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
      return 2;
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
      return 4;
    default:
      return 0;
  }
}

}  // namespace

// The refusals are those of the driver API reference, cuTensorMapEncodeTiled.
CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base, const cuuint64_t* size,
                      const cuuint64_t* pitch, const cuuint32_t* box, const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                      CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
  const int element = element_bytes(type);
  if (!map || !element || rank < 1 || rank > most_dimensions || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
      fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE || swizzle > CU_TENSOR_MAP_SWIZZLE_128B)
    return CUDA_ERROR_INVALID_VALUE;
  if (reinterpret_cast<uintptr_t>(map) % 64 || reinterpret_cast<uintptr_t>(base) % 16) return CUDA_ERROR_INVALID_VALUE;
  TensorMap content{magic, static_cast<char*>(base), static_cast<int32_t>(rank), element, 0, {}, {}, {}};
  content.swizzle = swizzle == CU_TENSOR_MAP_SWIZZLE_NONE ? 0 : 16 << swizzle;
  for (cuuint32_t i = 0; i < rank; ++i) {
    if (size[i] < 1 || size[i] > INT32_MAX || box[i] < 1 || box[i] > 256 || element_strides[i] != 1) return CUDA_ERROR_INVALID_VALUE;
    content.size[i] = static_cast<int32_t>(size[i]);
    content.box[i] = static_cast<int16_t>(box[i]);
  }
  for (cuuint32_t i = 0; i + 1 < rank; ++i) {
    if (pitch[i] % 16 || pitch[i] >= cuuint64_t{1} << 40) return CUDA_ERROR_INVALID_VALUE;
    content.pitch[i] = static_cast<int64_t>(pitch[i]);
  }
  const int inner = content.box[0] * element;
  if (inner % 16 || (content.swizzle && inner > content.swizzle)) return CUDA_ERROR_INVALID_VALUE;
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &content, sizeof content);
  return CUDA_SUCCESS;
}

TensorMap read_map(const CUtensorMap* map) {
  TensorMap content;
  std::memcpy(&content, map, sizeof content);
  if (content.magic != magic) fault("TMA: the tensor map was never encoded");
  if (reinterpret_cast<uintptr_t>(map) % 64) fault("TMA: the tensor map is not aligned to 64 bytes");
  return content;
}

}  // namespace emulator
