#include "panels.h"

#include "xla/ffi/api/ffi.h"

namespace rnnlm {

namespace {

// Sums for R rows, kept in registers.
template <typename T, int V, int R>
__attribute__((noinline)) void tile_sums(int64_t depth, const T* a, int64_t a_stride, const T* panel, T* sums,
                                         int64_t sums_stride) {
  constexpr int chains = R * V >= 8 ? 1 : 8 / (R * V);  // enough sums to hide the latency of multiplications
  Vector<T> s[chains][R][V] = {};
  const auto add = [&](int64_t k, Vector<T>(&into)[R][V]) __attribute__((always_inline)) {
    Vector<T> b[V];
    for (int v = 0; v < V; ++v) b[v] = load(panel + (k * V + v) * kLanes<T>);
#pragma GCC unroll 16
    for (int m = 0; m < R; ++m) {
      const T scalar = a[m * a_stride + k];
      for (int v = 0; v < V; ++v) into[m][v] += scalar * b[v];
    }
  };
  int64_t k = 0;
  for (; k + chains <= depth; k += chains)
#pragma GCC unroll 8
    for (int j = 0; j < chains; ++j) add(k + j, s[j]);
  if constexpr (chains > 1)
    for (; k < depth; ++k) add(k, s[0]);
#pragma GCC unroll 16
  for (int m = 0; m < R; ++m)
    for (int v = 0; v < V; ++v) {
#pragma GCC unroll 8
      for (int j = 1; j < chains; ++j) s[0][m][v] += s[j][m][v];
      store(sums + (m * sums_stride + v) * kLanes<T>, s[0][m][v]);
    }
}

}  // namespace

template <typename T, int V>
void panel_sums(int rows, int64_t depth, const T* a, int64_t a_stride, const T* panel, T* sums, int64_t sums_stride) {
  switch (rows) {
#define RNNLM_ROWS(n)                                                                                  \
  case n:                                                                                              \
    if constexpr (n <= kTileRows<V>) tile_sums<T, V, n>(depth, a, a_stride, panel, sums, sums_stride); \
    break;
    RNNLM_ROWS(1) RNNLM_ROWS(2) RNNLM_ROWS(3) RNNLM_ROWS(4) RNNLM_ROWS(5) RNNLM_ROWS(6) RNNLM_ROWS(7)
    RNNLM_ROWS(8) RNNLM_ROWS(9) RNNLM_ROWS(10) RNNLM_ROWS(11) RNNLM_ROWS(12) RNNLM_ROWS(13) RNNLM_ROWS(14)
#undef RNNLM_ROWS
  }
}

using Type = xla::ffi::NativeType<RNNLM_TYPE>;
template void panel_sums<Type, 1>(int, int64_t, const Type*, int64_t, const Type*, Type*, int64_t);
template void panel_sums<Type, 2>(int, int64_t, const Type*, int64_t, const Type*, Type*, int64_t);
template void panel_sums<Type, 3>(int, int64_t, const Type*, int64_t, const Type*, Type*, int64_t);

}  // namespace rnnlm
