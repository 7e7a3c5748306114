/// Products of vectors in double, summed over fixed blocks in a fixed order: the same bits on every machine and any number of threads.
#pragma once
#include <span>

#include "base/thread_pool.h"

namespace fedlora {

/// Σ aᵢ·bᵢ; the spans have equal lengths (E_SHAPE).
double dot(std::span<const float> a, std::span<const float> b, ThreadPool* pool = nullptr);

/// √Σ aᵢ².
double norm(std::span<const float> a, ThreadPool* pool = nullptr);

/// dot / (norm · norm); 0 when one of the vectors is 0.
double cosine(std::span<const float> a, std::span<const float> b, ThreadPool* pool = nullptr);

}  // namespace fedlora
