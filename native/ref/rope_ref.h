/// The book: rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face models.
///
///   every head's pair (a, b) = (x[i], x[i + P/2]), i < P/2, is turned by the angle position · frequency[i]; x[P …] stays:
///   a' = a·cos − b·sin     b' = b·cos + a·sin          inverse: sin → −sin (the transpose, hence the gradient)
///
/// x [M,heads·D] · positions [M] · cosine, sine [positions,P/2], P = rotary_dim ≤ D (0: D).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fedlora::ref {

template <class Real>
void rope(int64_t M, int heads, int head_dim, std::span<const int32_t> positions, const Real* cosine, const Real* sine, bool inverse,
          Real* x, int rotary_dim = 0);

/// frequency[i] = theta^(−2i/D), rounded to f32 as transformers keeps it.
std::vector<float> rope_frequencies(int head_dim, double theta);

/// Llama 3.1's stretching: wavelengths 2π/f above original/low are slowed by `factor`, those below original/high are kept, between
/// the two the frequency is interpolated linearly in original/wavelength.
void llama3_scale(std::vector<float>& frequencies, double factor, double low, double high, double original_positions);

/// cosine, sine [positions,D/2] of the f32 angle position · frequency.
void rope_tables(int64_t positions, const std::vector<float>& frequencies, std::vector<double>& cosine, std::vector<double>& sine);

}  // namespace fedlora::ref
