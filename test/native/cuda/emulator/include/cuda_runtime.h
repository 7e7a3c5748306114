/// The emulated <cuda_runtime.h>: what kernels, their launches and the library use of CUDA, for the host's compiler. It stands where
/// NVIDIA's would be found, so that `native/backend/cuda` compiles unchanged.
#pragma once
#define FEDLORA_EMULATED 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict

#include <cmath>

#include "../copy_async.h"
#include "../device.h"
#include "../device_memory.h"
#include "../intrinsics.h"
#include "../launch.h"
#include "../matrix.h"
#include "../mbarrier.h"
#include "../names.h"
#include "../numbers.h"
#include "../rendezvous.h"
#include "../runtime.h"
#include "../shared_memory.h"
#include "../tma.h"
#include "../vector_types.h"
#include "../warp.h"
#include "../wgmma.h"
#include "cuda.h"
