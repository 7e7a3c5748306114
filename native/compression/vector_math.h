/// Products of vectors in double, summed over fixed blocks in a fixed order: the same bits on every machine.
#pragma once
#include <span>

namespace fedlora {

/// Σ aᵢ·bᵢ; the spans have equal lengths (E_SHAPE).
double dot(std::span<const float> a, std::span<const float> b);

/// √Σ aᵢ².
double norm(std::span<const float> a);

/// dot / (norm · norm); 0 when one of the vectors is 0.
double cosine(std::span<const float> a, std::span<const float> b);

}  // namespace fedlora
