/// Every kernel over rows and elements, over the vector abstraction of the instruction set that includes them; exp first, which others
/// call.
#include "backend/cpu/kernels/generic/exp.inl"

#include "backend/cpu/kernels/generic/embedding.inl"
#include "backend/cpu/kernels/generic/soft_cap.inl"
#include "backend/cpu/kernels/generic/rms_norm.inl"
#include "backend/cpu/kernels/generic/residual.inl"
#include "backend/cpu/kernels/generic/layer_norm.inl"
#include "backend/cpu/kernels/generic/rope.inl"
#include "backend/cpu/kernels/generic/attention_tile.inl"
#include "backend/cpu/kernels/generic/attention_pack.inl"
#include "backend/cpu/kernels/generic/attention_forward.inl"
#include "backend/cpu/kernels/generic/attention_backward.inl"
#include "backend/cpu/kernels/generic/attention_decode.inl"
#include "backend/cpu/kernels/generic/glu.inl"
#include "backend/cpu/kernels/generic/cross_entropy.inl"
#include "backend/cpu/kernels/generic/optimizer.inl"
#include "backend/cpu/kernels/generic/roof.inl"
