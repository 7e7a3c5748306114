/// Every kernel of the linear layers, over the vector abstraction of the instruction set that includes them.
#include "backend/cpu/kernels/generic/convert.inl"
#include "backend/cpu/kernels/generic/decode.inl"
#include "backend/cpu/kernels/generic/matvec.inl"
#include "backend/cpu/kernels/generic/dropout.inl"
#include "backend/cpu/kernels/generic/gemm.inl"
#include "backend/cpu/kernels/generic/pack.inl"
#include "backend/cpu/kernels/generic/outer.inl"
