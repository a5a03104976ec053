// The LSTM over time, and its gradient: the recurrent product of each step with all that is elementwise done on its
// result while it is at hand.
//
// The recurrent matrix is packed once into panels two vectors wide, kRows x 2 sums being kept in registers over the
// whole depth. In the forward pass a pair of panels holds i, f and g, o of one vector of units; in the backward pass a
// panel of the transposed matrix holds two vectors of units. A task is a panel, or pair, and a group of rows, that is
// of sequences.
#pragma once
#include <algorithm>
#include <cstring>

#include "steps.h"
#include "vector_math.h"
#include "vectors.h"

namespace rnnlm {

// Of a call. Gates lie in the order i, f, g, o; steps are run from the last to the first if `reverse`.
template <typename T>
struct LstmShape {
  int64_t steps, batch, units;
  bool reverse;
  const T* counts;   // [T, B], 0 where a step keeps the state, or null
  const T* carries;  // [T, B], 0 where the state is zero before a step, or null

  int64_t at(int64_t step) const { return reverse ? steps - 1 - step : step; }
  bool kept(int64_t t, int64_t row) const { return counts != nullptr && counts[t * batch + row] == 0; }
  bool reset(int64_t t, int64_t row) const { return carries != nullptr && carries[t * batch + row] == 0; }
};

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

// Ask for what is to be updated after a product while it is computed: `rows` rows, one vector of each gate.
template <typename T>
inline void prefetch_gates(const T* gates, int64_t units, int rows) {
  for (int64_t k = 0; k < 4 * rows; ++k) __builtin_prefetch(gates + k * units, 1);
}

// sums[m * sums_stride + v] = sum_k a[m * a_stride + k] panel[k][v], for R rows and a panel V vectors wide.
template <typename T, int V, int R>
__attribute__((noinline)) void panel_sums(int64_t depth, const T* a, int64_t a_stride, const T* panel, T* sums,
                                          int64_t sums_stride) {
  constexpr int chains = R * V >= 8 ? 1 : 8 / (R * V);  // enough sums for multiplications not to wait for each other
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

template <typename T, int V>
void panel_sums(int rows, int64_t depth, const T* a, int64_t a_stride, const T* panel, T* sums, int64_t sums_stride) {
  switch (rows) {
#define RNNLM_ROWS(n)                                                                            \
  case n:                                                                                        \
    if constexpr (n <= kRows) panel_sums<T, V, n>(depth, a, a_stride, panel, sums, sums_stride); \
    break;
    RNNLM_ROWS(1) RNNLM_ROWS(2) RNNLM_ROWS(3) RNNLM_ROWS(4) RNNLM_ROWS(5) RNNLM_ROWS(6) RNNLM_ROWS(7)
    RNNLM_ROWS(8) RNNLM_ROWS(9) RNNLM_ROWS(10) RNNLM_ROWS(11) RNNLM_ROWS(12) RNNLM_ROWS(13) RNNLM_ROWS(14)
#undef RNNLM_ROWS
  }
}

// How the rows of a batch are divided: into `groups` of them, the fewest that let every thread have as much to do.
struct RowGroups {
  RowGroups(int64_t rows, int64_t panels, int64_t threads) : rows(rows), groups(1) {
    const int64_t most = (rows + kRows - 1) / kRows;
    for (int64_t g = 2; g <= most; ++g)
      if (cost(g, panels, threads) < 0.97 * cost(groups, panels, threads)) groups = g;
  }
  int64_t begin(int64_t group) const { return group * rows / groups; }

  // f(first row, number of rows) for each tile of a group: as few as can be, nearly equal.
  template <typename F>
  void tiles(int64_t group, F&& f) const {
    for (int64_t row = begin(group), end = begin(group + 1); row < end;) {
      const int64_t left = (end - row + kRows - 1) / kRows;
      const int height = static_cast<int>((end - row + left - 1) / left);
      f(row, height);
      row += height;
    }
  }

  int64_t rows, groups;

 private:
  double cost(int64_t g, int64_t panels, int64_t threads) const {
    const int64_t height = (rows + g - 1) / g;
    const double rounds = static_cast<double>((panels * g + threads - 1) / threads);
    return rounds * (height + 1.5 * ((height + kRows - 1) / kRows));
  }
};

template <typename T>
struct LstmForward {
  LstmShape<T> shape;
  const T *zs, *w_h, *b, *h0, *c0;  // [T, B, 4H], [H, 4H], [4H], [B, H], [B, H]
  T *hs, *c;                        // [T, B, H], and [B, H]: the last c
  // For the backward pass, or null: [T, B, 4H], perhaps the memory of zs; c, and the h that a step reads, [T, B, H].
  T *gates = nullptr, *cs = nullptr, *before = nullptr;

  template <typename Parallel>
  void run(const Parallel& parallel) {
    const int64_t H = shape.units, panels = (H + kLanes<T> - 1) / kLanes<T>;
    const int64_t threads = worthwhile(parallel.threads(), 8 * shape.batch * H * H);
    const RowGroups rows(shape.batch, panels, threads);
    static thread_local Scratch<T> memory;
    slots_ = before != nullptr ? shape.steps : std::min<int64_t>(2, shape.steps);
    packed_ = memory.get(panels * H * 4 * kLanes<T> + (before != nullptr ? 0 : slots_ * shape.batch * H));
    before_ = before != nullptr ? before : packed_ + panels * H * 4 * kLanes<T>;
    in_steps(shape.steps + 1, panels * rows.groups, threads, parallel, [&](int64_t phase, int64_t task) {
      const int64_t panel = task / rows.groups, group = task % rows.groups;
      if (phase == 0) {
        pack(panel, group * H / rows.groups, (group + 1) * H / rows.groups);
        for (int64_t row = rows.begin(group); row < rows.begin(group + 1); ++row) begin(panel, row);
      } else {
        rows.tiles(group, [&](int64_t row, int height) { tile(phase - 1, panel, row, height); });
      }
    });
  }

  // Set by `run`.
  int64_t slots_ = 0;
  T *packed_ = nullptr, *before_ = nullptr;

  int64_t lanes(int64_t panel) const { return std::min<int64_t>(kLanes<T>, shape.units - panel * kLanes<T>); }
  T* panel_at(int64_t panel, int64_t half) const {
    return packed_ + (panel * 2 + half) * shape.units * 2 * kLanes<T>;
  }
  // [B, H], the h that a step reads: zero where the state is reset.
  T* read_at(int64_t step) const {
    return before_ + (before != nullptr ? shape.at(step) : step % slots_) * shape.batch * shape.units;
  }

  void pack(int64_t panel, int64_t begin, int64_t end) const {
    const int64_t H = shape.units;
    for (int64_t half = 0; half < 2; ++half) {
      T* out = panel_at(panel, half) + begin * 2 * kLanes<T>;
      for (int64_t k = begin; k < end; ++k)
        for (int64_t gate = 2 * half; gate < 2 * half + 2; ++gate, out += kLanes<T>)
          store(out, load_some(w_h + (k * 4 + gate) * H + panel * kLanes<T>, lanes(panel)));
    }
  }

  void begin(int64_t panel, int64_t row) const {
    const int64_t at = row * shape.units + panel * kLanes<T>, n = lanes(panel);
    store_some(read_at(0) + at, shape.reset(shape.at(0), row) ? Vector<T>{} : load_some(h0 + at, n), n);
    store_some(c + at, load_some(c0 + at, n), n);
  }

  void tile(int64_t step, int64_t panel, int64_t first, int height) const {
    const int64_t H = shape.units, t = shape.at(step), n = lanes(panel);
    alignas(64) T sums[kRows * 4 * kLanes<T>];
    prefetch_gates(zs + (t * shape.batch + first) * 4 * H + panel * kLanes<T> + n - 1, H, height);
    for (int64_t half = 0; half < 2; ++half)
      panel_sums<T, 2>(height, H, read_at(step) + first * H, H, panel_at(panel, half), sums + half * 2 * kLanes<T>, 4);
    Vector<T> bias[4];
    for (int64_t gate = 0; gate < 4; ++gate) bias[gate] = load_some(b + gate * H + panel * kLanes<T>, n);
    // Two loops, each over rows that know nothing of each other: the processor works on several at once.
    for (int64_t row = first; row < first + height; ++row) {
      const int64_t gate = (t * shape.batch + row) * 4 * H + panel * kLanes<T>;
      T* sum = sums + (row - first) * 4 * kLanes<T>;
      const Vector<T> i = sigmoid<T>(load(sum) + load_some(zs + gate, n) + bias[0]);
      const Vector<T> f = sigmoid<T>(load(sum + kLanes<T>) + load_some(zs + gate + H, n) + bias[1]);
      const Vector<T> g = tanh<T>(load(sum + 2 * kLanes<T>) + load_some(zs + gate + 2 * H, n) + bias[2]);
      const Vector<T> o = sigmoid<T>(load(sum + 3 * kLanes<T>) + load_some(zs + gate + 3 * H, n) + bias[3]);
      const Vector<T> kept = load_some(c + row * H + panel * kLanes<T>, n);
      store(sum, i * g + (shape.reset(t, row) ? Vector<T>{} : f * kept));
      store(sum + kLanes<T>, o);
      if (gates == nullptr) continue;
      store_some(gates + gate, i, n);
      store_some(gates + gate + H, f, n);
      store_some(gates + gate + 2 * H, g, n);
      store_some(gates + gate + 3 * H, o, n);
    }
    for (int64_t row = first; row < first + height; ++row) {
      const int64_t unit = row * H + panel * kLanes<T>, unit_t = t * shape.batch * H + unit;
      const T* sum = sums + (row - first) * 4 * kLanes<T>;
      Vector<T> carousel = load(sum), hidden = load(sum + kLanes<T>) * tanh<T>(carousel);
      if (shape.kept(t, row)) {
        carousel = load_some(c + unit, n);
        hidden = load_some((step > 0 ? hs + shape.at(step - 1) * shape.batch * H : h0) + unit, n);
      }
      store_some(c + unit, carousel, n);
      if (cs != nullptr) store_some(cs + unit_t, carousel, n);
      store_some(hs + unit_t, hidden, n);
      if (step + 1 < shape.steps)
        store_some(read_at(step + 1) + unit, shape.reset(shape.at(step + 1), row) ? Vector<T>{} : hidden, n);
    }
  }
};

template <typename T>
struct LstmBackward {
  LstmShape<T> shape;
  const T *gates, *cs, *c0, *w_h;  // [T, B, 4H], [T, B, H], [B, H], [H, 4H]
  const T *g_hs, *g_h, *g_c;       // cotangents of all h [T, B, H], and of the last h and c [B, H]
  T *du, *dh0, *dc0;  // cotangents of the preactivations [T, B, 4H], perhaps the gates' memory; of h0, c0 [B, H]

  template <typename Parallel>
  void run(const Parallel& parallel) {
    const int64_t H = shape.units, vectors = (H + kLanes<T> - 1) / kLanes<T>;
    const int64_t threads = worthwhile(parallel.threads(), 8 * shape.batch * H * H);
    width_ = vectors * ((shape.batch + kRows - 1) / kRows) < 4 * threads ? 1 : 2;
    const int64_t panels = (vectors + width_ - 1) / width_;
    const RowGroups rows(shape.batch, panels, threads);
    static thread_local Scratch<T> memory;
    packed_ = memory.get(vectors * 4 * H * kLanes<T>);
    in_steps(shape.steps + 1, panels * rows.groups, threads, parallel, [&](int64_t phase, int64_t task) {
      const int64_t panel = task / rows.groups, group = task % rows.groups;
      const int width = static_cast<int>(std::min(width_, vectors - panel * width_));
      if (phase == 0) pack(panel, width, group * 4 * H / rows.groups, (group + 1) * 4 * H / rows.groups);
      rows.tiles(group, [&](int64_t row, int height) { tile(phase, panel, width, row, height); });
    });
  }

  // Set by `run`.
  int64_t width_ = 0;  // of all panels but perhaps the last, in vectors
  T* packed_ = nullptr;

  T* panel_at(int64_t panel) const { return packed_ + panel * width_ * 4 * shape.units * kLanes<T>; }

  void pack(int64_t panel, int width, int64_t begin, int64_t end) const {
    const int64_t H = shape.units, stride = width * kLanes<T>, count = std::min(stride, H - panel * width_ * kLanes<T>);
    const T* in = w_h + panel * width_ * kLanes<T> * 4 * H;
    T* out = panel_at(panel);
    constexpr int64_t square = 16;
    for (int64_t k = begin; k < end; k += square) {
      const int64_t last = std::min(end, k + square);
      if (count < stride) std::memset(out + k * stride, 0, (last - k) * stride * sizeof(T));
      for (int64_t unit = 0; unit < count; ++unit)
        for (int64_t j = k; j < last; ++j) out[j * stride + unit] = in[unit * 4 * H + j];
    }
  }

  // In phase p the gradient comes down from the p-th step from the end, and into the one before.
  void tile(int64_t phase, int64_t panel, int width, int64_t first, int height) const {
    alignas(64) T sums[kRows * 2 * kLanes<T>];
    if (phase > 0) {
      const int64_t H4 = 4 * shape.units;
      const T* a = du + (shape.at(shape.steps - phase) * shape.batch + first) * H4;
      if (width == 2) {
        panel_sums<T, 2>(height, H4, a, H4, panel_at(panel), sums, 2);
      } else {
        panel_sums<T, 1>(height, H4, a, H4, panel_at(panel), sums, 1);
      }
    }
    for (int64_t row = first; row < first + height; ++row)
      for (int v = 0; v < width; ++v) {
        const int64_t unit = (panel * width_ + v) * kLanes<T>;
        update(phase, row, unit, std::min<int64_t>(kLanes<T>, shape.units - unit),
               sums + ((row - first) * width + v) * kLanes<T>);
      }
  }

  // dh0 and dc0 hold what comes down past a step: all of it at a step that keeps the state, c's part at any other.
  void update(int64_t phase, int64_t row, int64_t first_unit, int64_t n, const T* sum) const {
    const int64_t H = shape.units, unit = row * H + first_unit, step = shape.steps - 1 - phase;
    Vector<T> dh, dc;
    if (phase == 0) {
      dh = load_some(g_h + unit, n);
      dc = load_some(g_c + unit, n);
    } else {
      const int64_t later = shape.at(step + 1);
      dc = load_some(dc0 + unit, n);
      dh = shape.kept(later, row) ? load_some(dh0 + unit, n) : shape.reset(later, row) ? Vector<T>{} : load(sum);
    }
    if (step < 0) {
      store_some(dh0 + unit, dh, n);
      return;
    }
    const int64_t t = shape.at(step), unit_t = t * shape.batch * H + unit;
    const int64_t gate = (t * shape.batch + row) * 4 * H + first_unit;
    dh += load_some(g_hs + unit_t, n);
    Vector<T> di = {}, df = {}, dg = {}, dout = {};
    if (shape.kept(t, row)) {
      store_some(dh0 + unit, dh, n);
    } else {
      const Vector<T> i = load_some(gates + gate, n), f = load_some(gates + gate + H, n);
      const Vector<T> g = load_some(gates + gate + 2 * H, n), o = load_some(gates + gate + 3 * H, n);
      const Vector<T> shown = tanh<T>(load_some(cs + unit_t, n));
      Vector<T> old = {};
      if (!shape.reset(t, row)) old = load_some((step > 0 ? cs + shape.at(step - 1) * shape.batch * H : c0) + unit, n);
      dc += dh * o * (1 - shown * shown);
      di = dc * g * (i * (1 - i));
      df = dc * old * (f * (1 - f));
      dg = dc * i * (1 - g * g);
      dout = dh * shown * (o * (1 - o));
      dc = shape.reset(t, row) ? Vector<T>{} : dc * f;
    }
    store_some(dc0 + unit, dc, n);
    store_some(du + gate, di, n);
    store_some(du + gate + H, df, n);
    store_some(du + gate + 2 * H, dg, n);
    store_some(du + gate + 3 * H, dout, n);
  }
};

}  // namespace rnnlm
