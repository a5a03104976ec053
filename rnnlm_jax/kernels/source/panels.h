// Building blocks of recurrences: panels of a matrix, sums along them, and tiles of the rows of a batch.
//
// A panel is a few vectors wide, [depth][width]. The sums of a tile of rows are kept in registers over all its depth.
#pragma once
#include <algorithm>
#include <cstring>

#include "vectors.h"

namespace rnnlm {

// Rows of a tile beside a panel of V vectors: as many as the registers hold.
template <int V>
constexpr int kTileRows = V <= 2 ? kRows : kRows == 14 ? 10 : 4;

// The first `count` lanes from memory, the others zero.
template <typename T>
inline Vector<T> load_some(const T* p, int64_t count) {
  if (count >= kLanes<T>) return load(p);
  Vector<T> v = {};
  std::memcpy(&v, p, count * sizeof(T));
  return v;
}

template <typename T>
inline void store_some(T* p, Vector<T> v, int64_t count) {
  if (count >= kLanes<T>) {
    store(p, v);
  } else {
    std::memcpy(p, &v, count * sizeof(T));
  }
}

// Prefetches `count` vectors, `stride` apart, that are updated after the current product.
template <typename T>
inline void prefetch_vectors(const T* first, int64_t stride, int64_t count) {
  for (int64_t k = 0; k < count; ++k) __builtin_prefetch(first + k * stride, 1);
}

// sums[m * sums_stride + v] = sum_k a[m * a_stride + k] panel[k][v], for up to kTileRows<V> rows and a panel V vectors
// wide. It is compiled once, in panels.cc, for the type of the library and V = 1, 2, 3.
template <typename T, int V>
void panel_sums(int rows, int64_t depth, const T* a, int64_t a_stride, const T* panel, T* sums, int64_t sums_stride);

// Division of the rows of a batch into `groups`, the fewest that give every thread as much to do.
struct RowGroups {
  RowGroups(int64_t rows, int64_t panels, int64_t threads, int64_t tile_rows)
      : rows(rows), groups(1), tile_rows(tile_rows) {
    const int64_t most = (rows + tile_rows - 1) / tile_rows;
    for (int64_t g = 2; g <= most; ++g)
      if (cost(g, panels, threads) < 0.97 * cost(groups, panels, threads)) groups = g;
  }
  int64_t begin(int64_t group) const { return group * rows / groups; }

  // f(first row, number of rows) for each tile of a group: as few as can be, nearly equal.
  template <typename F>
  void tiles(int64_t group, F&& f) const {
    for (int64_t row = begin(group), end = begin(group + 1); row < end;) {
      const int64_t left = (end - row + tile_rows - 1) / tile_rows;
      const int height = static_cast<int>((end - row + left - 1) / left);
      f(row, height);
      row += height;
    }
  }

  int64_t rows, groups, tile_rows;

 private:
  double cost(int64_t g, int64_t panels, int64_t threads) const {
    const int64_t height = (rows + g - 1) / g;
    const double rounds = static_cast<double>((panels * g + threads - 1) / threads);
    return rounds * (height + 1.5 * ((height + tile_rows - 1) / tile_rows));
  }
};

}  // namespace rnnlm
