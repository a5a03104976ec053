// The softmax output layer in one pass: logits, cross-entropy and all its gradients, by chunks of rows.
//
// Logits lie in panels, [columns / kColumns][rows][kColumns]. The product of the logits writes whole panels,
// exponentials run over them in order, and the product of the gradient of w reads them as they are, without packing.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "product.h"
#include "vector_math.h"

namespace rnnlm {

// f(std::integral_constant<int, height>), 1 <= height <= kRows.
template <typename F>
__attribute__((always_inline)) inline void with_height(int64_t height, F&& f) {
  switch (height) {
#define RNNLM_HEIGHT(n)                                                    \
  case n:                                                                  \
    if constexpr (n <= kRows) f(std::integral_constant<int, n>{});         \
    break;
    RNNLM_HEIGHT(1) RNNLM_HEIGHT(2) RNNLM_HEIGHT(3) RNNLM_HEIGHT(4) RNNLM_HEIGHT(5) RNNLM_HEIGHT(6) RNNLM_HEIGHT(7)
    RNNLM_HEIGHT(8) RNNLM_HEIGHT(9) RNNLM_HEIGHT(10) RNNLM_HEIGHT(11) RNNLM_HEIGHT(12) RNNLM_HEIGHT(13)
    RNNLM_HEIGHT(14)
#undef RNNLM_HEIGHT
  }
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `size` items divided into `parts` of nearly equal size.
struct Cut {
  int64_t size, parts;
  Cut(int64_t size, int64_t parts) : size(size), parts(std::max<int64_t>(1, std::min(size, parts))) {}
  int64_t begin(int64_t part) const { return part * size / parts; }
  int64_t length(int64_t part) const { return begin(part + 1) - begin(part); }
};

// Tiles of at most kRows rows.
inline Cut tiles_of(int64_t rows) { return Cut(rows, ceil_div(rows, kRows)); }

template <typename T>
struct OutputLayer {
  int64_t hidden, vocabulary;
  const T* w;  // [hidden, vocabulary], or [vocabulary, hidden] if `by_word`
  bool by_word;
  const T* b;

  int64_t panels() const { return ceil_div(vocabulary, kColumns<T>); }
  int64_t word_stride() const { return by_word ? hidden : 1; }
  int64_t unit_stride() const { return by_word ? 1 : vocabulary; }
};

// Results; the gradients are null if only the loss is computed. `dh` is [rows, hidden].
template <typename T>
struct LossAndGradients {
  T *nats, *dh, *dw, *db;
};

template <typename T, typename Parallel>
class CrossEntropy {
  static constexpr int64_t NC = kColumns<T>, L = kLanes<T>;
  static constexpr int64_t kGroup = 4;        // panels of a task: rows of a matrix are then read by whole pages
  static constexpr int64_t kDepth = 256 / NC;  // panels over which a tile of dh stays in registers
  static constexpr int64_t kSpan = 4;         // such blocks between two barriers

 public:
  CrossEntropy(const OutputLayer<T>& layer, const LossAndGradients<T>& out, const Parallel& parallel)
      : layer_(layer), out_(out), parallel_(parallel), H(layer.hidden), V(layer.vocabulary), panels_(layer.panels()),
        groups_(ceil_div(panels_, kGroup)), wide_(ceil_div(H + 1, NC)) {}

  // Rows of weight 0 are skipped: they are not read, and their gradients are 0.
  void run(int64_t rows, const T* h, const int32_t* targets, const T* weights, int64_t chunk, T* logits) {
    std::vector<int64_t> counted;
    for (int64_t n = 0; n < rows; ++n)
      if (weights[n] != 0) counted.push_back(n);
    if (static_cast<int64_t>(counted.size()) < rows) {
      std::fill(out_.nats, out_.nats + rows, T(0));
      if (out_.dh) std::fill(out_.dh, out_.dh + rows * H, T(0));
    }
    if (out_.dh && counted.empty()) {
      std::fill(out_.dw, out_.dw + H * V, T(0));
      std::fill(out_.db, out_.db + V, T(0));
    }
    const Cut chunks(counted.size(), ceil_div(counted.size(), chunk));
    logits_ = logits;
    for (int64_t c = 0; c < chunks.parts && chunks.size > 0; ++c) {
      ids_ = counted.data() + chunks.begin(c);
      n_ = chunks.length(c);
      first_ = c == 0;
      forward(h);
      losses(targets, weights);
      if (out_.dh) backward(h);
    }
  }

 private:
  T* panel(int64_t p) const { return logits_ + p * n_ * NC; }
  int columns(int64_t p) const { return static_cast<int>(std::min(NC, V - p * NC)); }
  int64_t group_end(int64_t g) const { return std::min(panels_, (g + 1) * kGroup); }

  // The logits of the chunk's rows, and the largest of each row in each group of panels.
  void forward(const T* h) {
    const Cut tiles = tiles_of(n_);
    T* const packed = rows_memory().get(tiles.parts * kRows * H);
    parallel_(tiles.parts, [&](int64_t t) {
      T* const out = packed + t * kRows * H;
      for (int64_t i = 0; i < tiles.length(t); ++i) {
        const T* const row = h + ids_[tiles.begin(t) + i] * H;
        for (int64_t k = 0; k < H; ++k) out[k * kRows + i] = row[k];
      }
    });
    largest_.assign(groups_ * n_, 0);
    sums_.assign(groups_ * n_, 0);
    const Cut blocks(tiles.parts, ceil_div(16, groups_));
    parallel_(groups_ * blocks.parts, [&](int64_t task) {
      const int64_t g = task % groups_, block = task / groups_, p0 = g * kGroup, p1 = group_end(g);
      static thread_local Scratch<T> memory;
      T* const matrix = memory.get((p1 - p0) * NC * (H + 1));
      T* const bias = matrix + (p1 - p0) * NC * H;
      for (int64_t p = p0; p < p1; ++p) {
        pack_panel(H, columns(p), layer_.w + p * NC * layer_.word_stride(), layer_.word_stride(), layer_.unit_stride(),
                   matrix + (p - p0) * NC * H);
        // Columns beyond the vocabulary have logits of minus infinity, and so no probability and no gradient.
        for (int64_t v = 0; v < NC; ++v)
          bias[(p - p0) * NC + v] = v < columns(p) ? layer_.b[p * NC + v] : -std::numeric_limits<T>::infinity();
      }
      for (int64_t t = blocks.begin(block); t < blocks.begin(block + 1); ++t) {
        const int64_t m = tiles.begin(t);
        with_height(tiles.length(t), [&](auto height) {
          constexpr int R = decltype(height)::value;
          Vector<T> largest[R];
          for (int i = 0; i < R; ++i) largest[i] = broadcast(-std::numeric_limits<T>::infinity());
          for (int64_t p = p0; p < p1; ++p) {
            Vector<T> sums[R][2] = {};
            multiply_add<T, R>(H, packed + t * kRows * H, 1, kRows, matrix + (p - p0) * NC * H, NC, sums);
            const Vector<T> left = load(bias + (p - p0) * NC), right = load(bias + (p - p0) * NC + L);
            T* const out = panel(p) + m * NC;
            for (int i = 0; i < R; ++i) {
              const Vector<T> a = sums[i][0] + left, c = sums[i][1] + right;
              store(out + i * NC, a);
              store(out + i * NC + L, c);
              largest[i] = a > largest[i] ? a : largest[i];
              largest[i] = c > largest[i] ? c : largest[i];
            }
          }
          for (int i = 0; i < R; ++i) largest_[g * n_ + m + i] = largest_lane(largest[i]);
        });
      }
    });
  }

  // exp(a - largest) in place, nats, and the factors weight / sum; the target's entry becomes exp(a - largest) - sum.
  void losses(const int32_t* targets, const T* weights) {
    const Cut blocks(n_, ceil_div(n_, 64));
    row_largest_.resize(n_);
    at_target_.resize(n_);
    factors_.resize(n_);
    parallel_(blocks.parts, [&](int64_t block) {
      for (int64_t m = blocks.begin(block); m < blocks.begin(block + 1); ++m) {
        T found = largest_[m];
        for (int64_t g = 1; g < groups_; ++g) found = std::max(found, largest_[g * n_ + m]);
        const int64_t v = target(targets[ids_[m]]);
        row_largest_[m] = found;
        at_target_[m] = v < 0 ? std::numeric_limits<T>::quiet_NaN() : *entry(m, v) - found;
      }
    });
    const Cut rows(n_, ceil_div(16, groups_));
    parallel_(groups_ * rows.parts, [&](int64_t task) {
      const int64_t g = task % groups_, part = task / groups_;
      for (int64_t m = rows.begin(part); m < rows.begin(part + 1); ++m) {
        const Vector<T> largest = broadcast(row_largest_[m]);
        Vector<T> sum = {};
        for (int64_t p = g * kGroup; p < group_end(g); ++p) {
          T* const at = panel(p) + m * NC;
          const Vector<T> left = exp_or_zero(load(at) - largest), right = exp_or_zero(load(at + L) - largest);
          store(at, left);
          store(at + L, right);
          sum += left + right;
        }
        sums_[g * n_ + m] = sum_of_lanes(sum);
      }
    });
    parallel_(blocks.parts, [&](int64_t block) {
      for (int64_t m = blocks.begin(block); m < blocks.begin(block + 1); ++m) {
        double sum = 0;
        for (int64_t g = 0; g < groups_; ++g) sum += sums_[g * n_ + m];
        const int64_t n = ids_[m], v = target(targets[n]);
        out_.nats[n] = static_cast<T>(std::log(sum)) - at_target_[m];
        factors_[m] = static_cast<T>(weights[n] / sum);
        if (v >= 0) *entry(m, v) -= static_cast<T>(sum);
      }
    });
  }

  void backward(const T* h) {
    const int64_t units = wide_ * NC;  // of a scaled row: h, then a 1 for the gradient of the bias, then zeros
    const Cut unit_tiles = tiles_of(H + 1);
    T* const scaled = scaled_memory().get(n_ * (layer_.by_word ? units : unit_tiles.parts * kRows));
    scale_rows(h, scaled, unit_tiles);

    const int64_t spans = ceil_div(panels_, kDepth * kSpan), span_size = kSpan * kDepth * NC * units;
    T* const turned = matrix_memory().get(2 * span_size);
    const Cut tiles = tiles_of(n_), bands(tiles.parts, ceil_div(tiles.parts, 4));
    T* const sums = sums_memory().get(tiles.parts * kRows * units);
    const int64_t dw_tiles = layer_.by_word ? wide_ : unit_tiles.parts;
    const Cut dw_parts(dw_tiles, ceil_div(16, groups_));
    for (int64_t s = -1; s < spans; ++s) {
      const int64_t dh_tasks = s < 0 ? 0 : bands.parts, g0 = s < 0 ? 0 : s * kSpan * kDepth / kGroup;
      const int64_t g1 = s < 0 ? 0 : std::min(groups_, (s + 1) * kSpan * kDepth / kGroup);
      const int64_t dw_tasks = (g1 - g0) * dw_parts.parts;
      const int64_t pack_tasks = s + 1 < spans ? kSpan * wide_ : 0;
      parallel_(dh_tasks + dw_tasks + pack_tasks, [&](int64_t task) {
        if (task < dh_tasks) {
          add_to_dh(s, bands.begin(task), bands.begin(task + 1), tiles, turned + (s & 1) * span_size, sums);
        } else if ((task -= dh_tasks) < dw_tasks) {
          const int64_t part = task % dw_parts.parts;
          const int64_t g = g0 + task / dw_parts.parts;
          if (layer_.by_word) {
            dw_by_word(g, dw_parts.begin(part), dw_parts.begin(part + 1), scaled);
          } else {
            dw_by_unit(g, dw_parts.begin(part), dw_parts.begin(part + 1), unit_tiles, scaled);
          }
        } else {
          task -= dw_tasks;
          turn(s + 1, task % kSpan, task / kSpan, turned + ((s + 1) & 1) * span_size);
        }
      });
    }
    parallel_(tiles.parts, [&](int64_t t) {
      for (int64_t i = 0; i < tiles.length(t); ++i) {
        const int64_t m = tiles.begin(t) + i;
        T* const row = out_.dh + ids_[m] * H;
        for (int64_t k = 0; k < H; ++k) row[k] = factors_[m] * sums[((t * wide_ + k / NC) * kRows + i) * NC + k % NC];
      }
    });
  }

  // factor * (h, 1): in tiles [rows][kRows] of units, or with `by_word` in panels [rows][kColumns] of units.
  void scale_rows(const T* h, T* scaled, const Cut& tiles) {
    const Cut blocks(n_, ceil_div(n_, 64));
    parallel_(blocks.parts, [&](int64_t block) {
      for (int64_t m = blocks.begin(block); m < blocks.begin(block + 1); ++m) {
        const T* const row = h + ids_[m] * H;
        const T factor = factors_[m];
        if (layer_.by_word) {
          for (int64_t q = 0; q < wide_; ++q)
            for (int64_t k = q * NC; k < (q + 1) * NC; ++k)
              scaled[(q * n_ + m) * NC + k % NC] = k < H ? factor * row[k] : k == H ? factor : T(0);
        } else {
          for (int64_t t = 0; t < tiles.parts; ++t)
            for (int64_t i = 0; i < tiles.length(t); ++i) {
              const int64_t k = tiles.begin(t) + i;
              scaled[(t * n_ + m) * kRows + i] = k < H ? factor * row[k] : factor;
            }
        }
      }
    });
  }

  // dw[h, words of a group] += sum_m scaled[m, h] slopes[m, words], and db, for some tiles of units.
  void dw_by_unit(int64_t g, int64_t begin, int64_t end, const Cut& tiles, const T* scaled) {
    for (int64_t t = begin; t < end; ++t) {
      with_height(tiles.length(t), [&](auto height) {
        constexpr int R = decltype(height)::value;
        for (int64_t p = g * kGroup; p < group_end(g); ++p) {
          Vector<T> sums[R][2] = {};
          multiply_add<T, R>(n_, scaled + t * n_ * kRows, 1, kRows, panel(p), NC, sums);
          for (int i = 0; i < R; ++i) {
            const int64_t k = tiles.begin(t) + i;
            T* const out = (k < H ? out_.dw + k * V : out_.db) + p * NC;
            put(out, sums[i], columns(p));
          }
        }
      });
    }
  }

  // dw[words of a group, h] += sum_m slopes[m, words] scaled[m, h], and db, for some panels of units.
  void dw_by_word(int64_t g, int64_t begin, int64_t end, const T* scaled) {
    for (int64_t p = g * kGroup; p < group_end(g); ++p) {
      const Cut tiles = tiles_of(columns(p));
      for (int64_t q = begin; q < end; ++q) {
        const int units = static_cast<int>(std::min(NC, H - q * NC));
        for (int64_t t = 0; t < tiles.parts; ++t) {
          with_height(tiles.length(t), [&](auto height) {
            constexpr int R = decltype(height)::value;
            Vector<T> sums[R][2] = {};
            multiply_add<T, R>(n_, panel(p) + tiles.begin(t), 1, NC, scaled + q * n_ * NC, NC, sums);
            for (int i = 0; i < R; ++i) {
              const int64_t v = p * NC + tiles.begin(t) + i;
              put(out_.dw + v * H + q * NC, sums[i], units);
              if (units < NC) {
                T flat[NC];
                store(flat, sums[i][0]);
                store(flat + L, sums[i][1]);
                out_.db[v] = first_ ? flat[units] : out_.db[v] + flat[units];
              }
            }
          });
        }
      }
    }
  }

  // Sets the first `count` entries of a row of results, or adds to them after the first chunk.
  void put(T* out, const Vector<T> (&row)[2], int count) const {
    if (count == NC) {
      store(out, first_ ? row[0] : load(out) + row[0]);
      store(out + L, first_ ? row[1] : load(out + L) + row[1]);
      return;
    }
    T flat[NC];
    store(flat, row[0]);
    store(flat + L, row[1]);
    for (int i = 0; i < count; ++i) out[i] = first_ ? flat[i] : out[i] + flat[i];
  }

  // Part of the matrix, words down and units across: [block of words][panel of units][word][unit].
  void turn(int64_t s, int64_t block, int64_t q, T* turned) const {
    const int64_t size = kDepth * NC, v = (s * kSpan + block) * size, count = std::min(size, panels_ * NC - v);
    const int units = static_cast<int>(std::min(NC, H - q * NC));
    if (count <= 0 || units <= 0) return;
    T* const out = turned + (block * wide_ + q) * size * NC;
    const int64_t depth = std::min(count, V - v);
    pack_panel(depth, units, layer_.w + v * layer_.word_stride() + q * NC * layer_.unit_stride(), layer_.unit_stride(),
               layer_.word_stride(), out);
    std::fill(out + depth * NC, out + count * NC, T(0));
  }

  // sums[row, h] += sum over a span of words of slopes[row, v] w[h, v].
  void add_to_dh(int64_t s, int64_t begin, int64_t end, const Cut& tiles, const T* turned, T* sums) const {
    const int64_t size = kDepth * NC;
    for (int64_t block = 0; block < kSpan; ++block) {
      const int64_t p0 = (s * kSpan + block) * kDepth, p1 = std::min(panels_, p0 + kDepth);
      for (int64_t q = 0; q * NC < H && p0 < p1; ++q) {
        const T* const matrix = turned + (block * wide_ + q) * size * NC;
        for (int64_t t = begin; t < end; ++t) {
          with_height(tiles.length(t), [&](auto height) {
            constexpr int R = decltype(height)::value;
            T* const at = sums + (t * wide_ + q) * kRows * NC;
            Vector<T> acc[R][2] = {};
            if (p0 > 0)
              for (int i = 0; i < R; ++i) acc[i][0] = load(at + i * NC), acc[i][1] = load(at + i * NC + L);
            for (int64_t p = p0; p < p1; ++p)
              multiply_add<T, R>(NC, panel(p) + tiles.begin(t) * NC, NC, 1, matrix + (p - p0) * NC * NC, NC, acc);
            for (int i = 0; i < R; ++i) store(at + i * NC, acc[i][0]), store(at + i * NC + L, acc[i][1]);
          });
        }
      }
    }
  }

  T* entry(int64_t m, int64_t v) const { return panel(v / NC) + m * NC + v % NC; }

  // Negative targets count from the end, as in NumPy; -1 stands for a target that is not a word.
  int64_t target(int64_t v) const {
    if (v < 0) v += V;
    return v >= 0 && v < V ? v : -1;
  }

  static Vector<T> broadcast(T x) { return x - Vector<T>{}; }

  // exp; zero for a logit of minus infinity.
  static Vector<T> exp_or_zero(Vector<T> x) { return x < -ExpConstants<T>::largest ? Vector<T>{} : exp<T>(x); }

  static T largest_lane(Vector<T> v) {
    T flat[L], found;
    store(flat, v);
    found = flat[0];
    for (int64_t i = 1; i < L; ++i) found = std::max(found, flat[i]);
    return found;
  }

  static T sum_of_lanes(Vector<T> v) {
    T flat[L];
    store(flat, v);
    for (int64_t width = L / 2; width > 0; width /= 2)
      for (int64_t i = 0; i < width; ++i) flat[i] += flat[i + width];
    return flat[0];
  }

  static Scratch<T>& rows_memory() { static thread_local Scratch<T> memory; return memory; }
  static Scratch<T>& scaled_memory() { static thread_local Scratch<T> memory; return memory; }
  static Scratch<T>& matrix_memory() { static thread_local Scratch<T> memory; return memory; }
  static Scratch<T>& sums_memory() { static thread_local Scratch<T> memory; return memory; }

  const OutputLayer<T> layer_;
  const LossAndGradients<T> out_;
  const Parallel& parallel_;
  const int64_t H, V, panels_, groups_;
  const int64_t wide_;  // panels of units, with one more place for the bias
  T* logits_ = nullptr;
  const int64_t* ids_ = nullptr;
  int64_t n_ = 0;
  bool first_ = true;
  std::vector<T> largest_, sums_, row_largest_, at_target_, factors_;
};

}  // namespace rnnlm
