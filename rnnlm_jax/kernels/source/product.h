// C[M, N] = A[M, K] B[K, N], either operand may be stored transposed: B packed in panels, A in tiles of rows, and a
// tile of C kept in registers over a block of K (Goto & van de Geijn 2008).
#pragma once
#include <algorithm>
#include <cstring>

#include "vectors.h"

namespace rnnlm {

// sums[m][0, 1] += sum_k a[m * row_stride + k * depth_stride] * panel[k * panel_stride ...], one panel wide.
template <typename T, int R>
__attribute__((always_inline)) inline void multiply_add(int64_t depth, const T* a, int64_t row_stride,
                                                        int64_t depth_stride, const T* panel, int64_t panel_stride,
                                                        Vector<T> (&sums)[R][2]) {
  for (int64_t k = 0; k < depth; ++k) {
    const Vector<T> left = load(panel), right = load(panel + kLanes<T>);
#pragma GCC unroll 16
    for (int m = 0; m < R; ++m) {
      const T scalar = a[m * row_stride];
      sums[m][0] += scalar * left;
      sums[m][1] += scalar * right;
    }
    a += depth_stride;
    panel += panel_stride;
  }
}

// R rows of C, one panel wide (the last panel may have fewer columns).
template <typename T, int R>
void tile(int64_t depth, const T* a, int64_t row_stride, int64_t depth_stride, const T* panel, T* c, int64_t c_stride,
          int columns, bool accumulate) {
  Vector<T> sums[R][2] = {};
  multiply_add<T, R>(depth, a, row_stride, depth_stride, panel, kColumns<T>, sums);
  for (int m = 0; m < R; ++m) {
    T* row = c + m * c_stride;
    if (columns == kColumns<T>) {
      store(row, accumulate ? load(row) + sums[m][0] : sums[m][0]);
      store(row + kLanes<T>, accumulate ? load(row + kLanes<T>) + sums[m][1] : sums[m][1]);
    } else {
      T flat[kColumns<T>];
      store(flat, sums[m][0]);
      store(flat + kLanes<T>, sums[m][1]);
      for (int n = 0; n < columns; ++n) row[n] = accumulate ? row[n] + flat[n] : flat[n];
    }
  }
}

// Any number of rows of C, in tiles of nearly equal height.
template <typename T>
void rows(int64_t count, int64_t depth, const T* a, int64_t row_stride, int64_t depth_stride, const T* panel, T* c,
          int64_t c_stride, int columns, bool accumulate) {
  while (count > 0) {
    const int64_t tiles = (count + kRows - 1) / kRows, height = (count + tiles - 1) / tiles;
    switch (height) {
#define RNNLM_TILE(n)                                                                                     \
  case n:                                                                                                 \
    if constexpr (n <= kRows) tile<T, n>(depth, a, row_stride, depth_stride, panel, c, c_stride, columns, \
                                         accumulate);                                                     \
    break;
      RNNLM_TILE(1) RNNLM_TILE(2) RNNLM_TILE(3) RNNLM_TILE(4) RNNLM_TILE(5) RNNLM_TILE(6) RNNLM_TILE(7)
      RNNLM_TILE(8) RNNLM_TILE(9) RNNLM_TILE(10) RNNLM_TILE(11) RNNLM_TILE(12) RNNLM_TILE(13) RNNLM_TILE(14)
#undef RNNLM_TILE
    }
    a += height * row_stride;
    c += height * c_stride;
    count -= height;
  }
}

// out[k * width + i] = in[i * stride + k * depth_stride], for i < count; by squares, so that whole cache lines are used.
template <typename T, int width>
void interleave(int64_t depth, int64_t count, const T* in, int64_t stride, int64_t depth_stride, T* out) {
  if (stride == 1) {
    if (count == width) {
      for (int64_t k = 0; k < depth; ++k) std::memcpy(out + k * width, in + k * depth_stride, width * sizeof(T));
    } else {
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t i = 0; i < count; ++i) out[k * width + i] = in[k * depth_stride + i];
    }
    return;
  }
  constexpr int64_t square = 64;
  for (int64_t begin = 0; begin < depth; begin += square) {
    const int64_t end = std::min(depth, begin + square);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t k = begin; k < end; ++k) out[k * width + i] = in[i * stride + k * depth_stride];
  }
}

// A panel of B, [depth][kColumns], columns beyond `columns` zero.
template <typename T>
void pack_panel(int64_t depth, int columns, const T* b, int64_t column_stride, int64_t depth_stride, T* panel) {
  if (columns < kColumns<T>) std::memset(panel, 0, depth * kColumns<T> * sizeof(T));
  interleave<T, kColumns<T>>(depth, columns, b, column_stride, depth_stride, panel);
}

template <typename T, typename Parallel>
void product(int64_t M, int64_t N, int64_t K, const T* a, bool a_transposed, const T* b, bool b_transposed, T* c,
             const Parallel& parallel) {
  constexpr int64_t block = 512;  // of K: a panel then fits a fraction of the second-level cache
  const int64_t a_row = a_transposed ? 1 : K, a_depth = a_transposed ? M : 1;
  const int64_t b_column = b_transposed ? K : 1, b_depth = b_transposed ? 1 : N;
  const int64_t panels = (N + kColumns<T> - 1) / kColumns<T>, tiles = (M + kRows - 1) / kRows;
  if (K == 0) std::memset(c, 0, M * N * sizeof(T));

  // A few rows are read in place: copying them would cost as much as the product.
  const bool copied = tiles > 4;
  static thread_local Scratch<T> rows_memory;
  T* const packed = copied ? rows_memory.get(tiles * kRows * K) : nullptr;
  if (copied) {
    parallel(tiles, [&](int64_t t) {
      for (int64_t k = 0; k < K; k += block) {
        const int64_t depth = std::min(block, K - k);
        interleave<T, kRows>(depth, std::min<int64_t>(kRows, M - t * kRows), a + t * kRows * a_row + k * a_depth, a_row,
                             a_depth, packed + (k * tiles + t * depth) * kRows);
      }
    });
  }
  // A task is a few panels, which it packs itself; if there are few panels, rows are divided as well.
  const int64_t width = std::max<int64_t>(1, std::min<int64_t>(4, panels / 8));
  const int64_t across = (panels + width - 1) / width;
  const int64_t down = copied ? std::min<int64_t>(tiles, (15 + across) / across) : 1;
  parallel(across * down, [&](int64_t task) {
    static thread_local Scratch<T> panel_memory;
    T* const panel = panel_memory.get(block * kColumns<T>);
    const int64_t first = task / down * width, t_begin = task % down * tiles / down, t_end = (task % down + 1) * tiles / down;
    for (int64_t k = 0; k < K; k += block) {
      const int64_t depth = std::min(block, K - k);
      for (int64_t p = first; p < std::min(panels, first + width); ++p) {
        const int columns = static_cast<int>(std::min<int64_t>(kColumns<T>, N - p * kColumns<T>));
        T* const c_panel = c + p * kColumns<T>;
        pack_panel(depth, columns, b + k * b_depth + p * kColumns<T> * b_column, b_column, b_depth, panel);
        if (!copied) {
          rows<T>(M, depth, a + k * a_depth, a_row, a_depth, panel, c_panel, N, columns, k > 0);
          continue;
        }
        for (int64_t t = t_begin; t < t_end; ++t)
          rows<T>(std::min<int64_t>(kRows, M - t * kRows), depth, packed + (k * tiles + t * depth) * kRows, 1, kRows,
                  panel, c_panel + t * kRows * N, N, columns, k > 0);
      }
    }
  });
}

}  // namespace rnnlm
