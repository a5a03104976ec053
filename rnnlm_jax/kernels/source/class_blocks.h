// Products of rows, each with one block of a matrix: the matrix rows of the row's class.
//
// A tile is a few rows of one class. Classes have a few to a few hundred words and tiles a few rows: too little for
// packing, so the matrix is read in place, once for four rows.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "vectors.h"

namespace rnnlm {

// The rows of each tile, and the place of their class; see class_products.py.
struct Tiles {
  const int32_t *order, *first, *rows, *start, *size;
  int64_t count;
};

constexpr int kAtOnce = 4;

// c[j] = a[j] . b for j < count <= kAtOnce.
template <typename T>
inline void dots(int count, const T* const* a, const T* b, int64_t depth, T* c) {
  constexpr int lanes = kLanes<T>;
  Vector<T> sums[kAtOnce] = {};
  int64_t i = 0;
  if (count == kAtOnce) {
    for (; i + lanes <= depth; i += lanes) {
      const Vector<T> w = load(b + i);
      for (int j = 0; j < kAtOnce; ++j) sums[j] += load(a[j] + i) * w;
    }
  } else {
    for (; i + lanes <= depth; i += lanes)
      for (int j = 0; j < count; ++j) sums[j] += load(a[j] + i) * load(b + i);
  }
  for (int j = 0; j < count; ++j) {
    T sum = 0;
    for (int k = 0; k < lanes; ++k) sum += sums[j][k];
    for (int64_t k = i; k < depth; ++k) sum += a[j][k] * b[k];
    c[j] = sum;
  }
}

// c[begin, end) += sum over j < count <= kAtOnce of s[j] a[j].
template <typename T>
inline void add(int count, const T* s, const T* const* a, int64_t begin, int64_t end, T* __restrict__ c) {
  if (count == kAtOnce) {
    const T *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
    for (int64_t i = begin; i < end; ++i) c[i] += (s[0] * a0[i] + s[1] * a1[i]) + (s[2] * a2[i] + s[3] * a3[i]);
    return;
  }
  for (int j = 0; j < count; ++j)
    for (int64_t i = begin; i < end; ++i) c[i] += s[j] * a[j][i];
}

// logits[n, k] = h[n] . w[start + k]
template <typename T>
void class_logits(const Tiles& tiles, int64_t t, const T* h, const T* w, int64_t depth, int64_t width, T* logits) {
  for (int64_t r = 0; r < tiles.rows[t]; r += kAtOnce) {
    const int32_t* rows = tiles.order + tiles.first[t] + r;
    const int count = static_cast<int>(std::min<int64_t>(kAtOnce, tiles.rows[t] - r));
    const T* a[kAtOnce];
    for (int j = 0; j < count; ++j) a[j] = h + rows[j] * depth;
    for (int64_t k = 0; k < tiles.size[t]; ++k) {
      T found[kAtOnce];
      dots(count, a, w + (tiles.start[t] + k) * depth, depth, found);
      for (int j = 0; j < count; ++j) logits[rows[j] * width + k] = found[j];
    }
  }
}

// out[n] = sum over k of slopes[n, k] w[start + k]
template <typename T>
void class_rows(const Tiles& tiles, int64_t t, const T* slopes, const T* w, int64_t depth, int64_t width, T* out) {
  for (int64_t k = 0; k < tiles.size[t]; k += kAtOnce) {
    const int count = static_cast<int>(std::min<int64_t>(kAtOnce, tiles.size[t] - k));
    const T* a[kAtOnce];
    for (int j = 0; j < count; ++j) a[j] = w + (tiles.start[t] + k + j) * depth;
    for (int64_t r = 0; r < tiles.rows[t]; ++r) {
      const int64_t row = tiles.order[tiles.first[t] + r];
      add(count, slopes + row * width + k, a, 0, depth, out + row * depth);
    }
  }
}

// out[start + k, begin:end] += sum over the tile's n of slopes[n, k] h[n, begin:end]
template <typename T>
void class_matrix(const Tiles& tiles, int64_t t, const T* slopes, const T* h, int64_t depth, int64_t width,
                  int64_t begin, int64_t end, T* out) {
  for (int64_t r = 0; r < tiles.rows[t]; r += kAtOnce) {
    const int32_t* rows = tiles.order + tiles.first[t] + r;
    const int count = static_cast<int>(std::min<int64_t>(kAtOnce, tiles.rows[t] - r));
    const T* a[kAtOnce];
    for (int j = 0; j < count; ++j) a[j] = h + rows[j] * depth;
    for (int64_t k = 0; k < tiles.size[t]; ++k) {
      T s[kAtOnce];
      for (int j = 0; j < count; ++j) s[j] = slopes[rows[j] * width + k];
      add(count, s, a, begin, end, out + (tiles.start[t] + k) * depth);
    }
  }
}

}  // namespace rnnlm
