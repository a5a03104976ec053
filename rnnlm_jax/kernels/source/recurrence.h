// A recurrence over time and its gradient, without the elementwise part: the recurrent product of each step, whose
// result is passed to the cell's elementwise part while it is in registers or cache.
//
// The recurrent matrix is packed once into panels. In the forward pass a panel holds all gates of one vector of units;
// in the backward pass a panel of the transposed matrix holds one or two vectors of units. A task is a panel and a
// group of rows, that is of sequences. Most of masks and resets is handled here.
#pragma once
#include "panels.h"
#include "steps.h"

namespace rnnlm {

// The shape of a call. Steps run from the last to the first if `reverse`.
template <typename T>
struct RecurrenceShape {
  int64_t steps, batch, units;
  bool reverse;
  const T* step_mask;   // [T, B], 0 where a step keeps the state, or null
  const T* keep_state;  // [T, B], 0 where the state is zero before a step, or null
  const T* state_mask = nullptr;  // [B, H], factors of the h that the recurrent product reads, or null

  int64_t at(int64_t step) const { return reverse ? steps - 1 - step : step; }
  bool kept(int64_t t, int64_t row) const { return step_mask != nullptr && step_mask[t * batch + row] == 0; }
  bool reset(int64_t t, int64_t row) const { return keep_state != nullptr && keep_state[t * batch + row] == 0; }

  // n units of a row, times their factors.
  Vector<T> masked(int64_t row, int64_t unit, int64_t n, Vector<T> values) const {
    return state_mask == nullptr ? values : values * load_some(state_mask + row * units + unit, n);
  }
};

// The forward loop of a cell with `gates` gates. A panel has `gates / width` parts, multiplied one after the other. The
// cell has
//   begin(row, unit, n)                         sets n units of its state beyond h before the first step
//   update(step, row, height, unit, n, sums)    calls `show` for `height` rows from `row`, given the products
// If the loop `projects` its inputs, `update` has their products as a further argument, in the layout of `sums`: in a
// large batch that saves writing and reading the projected inputs of all steps.
template <typename T, int gates, int width, bool projects = false>
struct ForwardLoop {
  RecurrenceShape<T> shape;
  const T *w_h, *h0;    // [H, gates * H], [B, H]
  T* hs;                // [T, B, H]
  T* before = nullptr;  // [T, B, H], the h that each product reads; or null
  // If it projects: [T, B, D], [D, gates * H], D.
  const T *xs = nullptr, *w_x = nullptr;
  int64_t inputs = 0;

  template <typename Parallel, typename Cell>
  void run(const Parallel& parallel, const Cell& cell) {
    const int64_t H = shape.units, panels = (H + kLanes<T> - 1) / kLanes<T>;
    const int64_t threads = worthwhile(parallel.threads(), 2 * gates * shape.batch * H * H);
    const RowGroups rows(shape.batch, panels, threads, kTileRows<width>);
    static thread_local Scratch<T> memory;
    slots_ = before != nullptr ? shape.steps : std::min<int64_t>(2, shape.steps);
    const int64_t size = panels * gates * kLanes<T>;
    packed_ = memory.get(size * (H + inputs) + (before != nullptr ? 0 : slots_ * shape.batch * H));
    packed_x_ = packed_ + size * H;
    read_ = before != nullptr ? before : packed_x_ + size * inputs;
    in_steps(shape.steps + 1, panels * rows.groups, threads, parallel, [&](int64_t phase, int64_t task) {
      const int64_t group = task % rows.groups, panel = task / rows.groups, unit = panel * kLanes<T>;
      const int64_t n = std::min<int64_t>(kLanes<T>, H - unit);
      if (phase == 0) {
        pack(w_h, panel_at(packed_, panel, 0, H), H, panel, group * H / rows.groups, (group + 1) * H / rows.groups);
        if constexpr (projects)
          pack(w_x, panel_at(packed_x_, panel, 0, inputs), inputs, panel, group * inputs / rows.groups,
               (group + 1) * inputs / rows.groups);
        for (int64_t row = rows.begin(group); row < rows.begin(group + 1); ++row) {
          write_read(0, row, unit, n, load_some(h0 + row * H + unit, n));
          cell.begin(row, unit, n);
        }
      } else {
        rows.tiles(group, [&](int64_t row, int height) {
          alignas(64) T sums[kTileRows<width> * gates * kLanes<T>];
          if constexpr (projects) {
            alignas(64) T projected[kTileRows<width> * gates * kLanes<T>];
            const T* const x = xs + (shape.at(phase - 1) * shape.batch + row) * inputs;
            multiply(height, inputs, x, panel_at(packed_x_, panel, 0, inputs), projected);
            multiply(height, H, read_at(phase - 1) + row * H, panel_at(packed_, panel, 0, H), sums);
            cell.update(phase - 1, row, height, unit, n, sums, projected);
          } else {
            cell.prefetch(phase - 1, row, height, unit + n - 1);
            multiply(height, H, read_at(phase - 1) + row * H, panel_at(packed_, panel, 0, H), sums);
            cell.update(phase - 1, row, height, unit, n, sums);
          }
        });
      }
    });
  }

  // Stores the h of a row after a step: the given one, or the old one if the step keeps the state.
  void show(int64_t step, int64_t row, int64_t unit, int64_t n, Vector<T> hidden) const {
    const int64_t at = row * shape.units + unit, size = shape.batch * shape.units, t = shape.at(step);
    if (shape.kept(t, row)) hidden = load_some((step > 0 ? hs + shape.at(step - 1) * size : h0) + at, n);
    store_some(hs + t * size + at, hidden, n);
    if (step + 1 < shape.steps) write_read(step + 1, row, unit, n, hidden);
  }

  // Returns the h that a product reads, [B, H]: masked, and zero where the state is reset.
  T* read_at(int64_t step) const {
    return read_ + (before != nullptr ? shape.at(step) : step % slots_) * shape.batch * shape.units;
  }

  // Set by `run`.
  int64_t slots_ = 0;
  T *packed_ = nullptr, *packed_x_ = nullptr, *read_ = nullptr;

 private:
  // Part of a panel of a packed matrix of `depth` rows.
  static T* panel_at(T* packed, int64_t panel, int64_t part, int64_t depth) {
    return packed + (panel * gates + part * width) * depth * kLanes<T>;
  }

  // Rows `begin` to `end` of a matrix [depth, gates * H] into a panel.
  void pack(const T* w, T* out, int64_t depth, int64_t panel, int64_t begin, int64_t end) const {
    const int64_t H = shape.units, unit = panel * kLanes<T>, n = std::min<int64_t>(kLanes<T>, H - unit);
    for (int part = 0; part < gates / width; ++part) {
      T* to = panel_at(out, 0, part, depth) + begin * width * kLanes<T>;
      for (int64_t k = begin; k < end; ++k)
        for (int gate = part * width; gate < (part + 1) * width; ++gate, to += kLanes<T>)
          store(to, load_some(w + (k * gates + gate) * H + unit, n));
    }
  }

  // sums = `height` rows of a [., depth] times a panel, all its parts.
  static void multiply(int height, int64_t depth, const T* a, T* panel, T* sums) {
    for (int part = 0; part < gates / width; ++part)
      panel_sums<T, width>(height, depth, a, depth, panel_at(panel, 0, part, depth), sums + part * width * kLanes<T>,
                           gates);
  }

  void write_read(int64_t step, int64_t row, int64_t unit, int64_t n, Vector<T> hidden) const {
    if (shape.reset(shape.at(step), row)) hidden = Vector<T>{};
    store_some(read_at(step) + row * shape.units + unit, shape.masked(row, unit, n, hidden), n);
  }
};

// The loop back in time. The cell has
//   begin(row, unit, n)             sets the gradient of its state beyond h after the last step
//   pull(t, step, row, unit, n, dh) stores du of a step, given the gradient of its h; returns what of dh reaches
//                                   the old h without the product
//   keep(t, row, unit, n)           stores du of a step that keeps the state: zeros
template <typename T, int gates>
struct BackwardLoop {
  RecurrenceShape<T> shape;
  const T* w_h;           // [H, gates * H]
  const T *g_hs, *g_h;    // cotangents of all h [T, B, H], and of the last [B, H]
  T *du, *dh0;            // cotangents of the products [T, B, gates * H], and of h0 [B, H]

  template <typename Parallel, typename Cell>
  void run(const Parallel& parallel, const Cell& cell) {
    const int64_t H = shape.units, vectors = (H + kLanes<T> - 1) / kLanes<T>;
    const int64_t threads = worthwhile(parallel.threads(), 2 * gates * shape.batch * H * H);
    width_ = vectors * ((shape.batch + kRows - 1) / kRows) < 4 * threads ? 1 : 2;
    const int64_t panels = (vectors + width_ - 1) / width_;
    const RowGroups rows(shape.batch, panels, threads, kRows);
    static thread_local Scratch<T> memory;
    packed_ = memory.get(vectors * gates * H * kLanes<T>);
    in_steps(shape.steps + 1, panels * rows.groups, threads, parallel, [&](int64_t phase, int64_t task) {
      const int64_t panel = task / rows.groups, group = task % rows.groups;
      const int width = static_cast<int>(std::min(width_, vectors - panel * width_));
      if (phase == 0) pack(panel, width, group * gates * H / rows.groups, (group + 1) * gates * H / rows.groups);
      rows.tiles(group, [&](int64_t row, int height) { tile(cell, phase, panel, width, row, height); });
    });
  }

  // Set by `run`.
  int64_t width_ = 0;  // in vectors; the last panel may be narrower
  T* packed_ = nullptr;

 private:
  T* panel_at(int64_t panel) const { return packed_ + panel * width_ * gates * shape.units * kLanes<T>; }

  void pack(int64_t panel, int width, int64_t begin, int64_t end) const {
    const int64_t H = shape.units, stride = width * kLanes<T>, count = std::min(stride, H - panel * width_ * kLanes<T>);
    const T* in = w_h + panel * width_ * kLanes<T> * gates * H;
    T* out = panel_at(panel);
    constexpr int64_t square = 16;
    for (int64_t k = begin; k < end; k += square) {
      const int64_t last = std::min(end, k + square);
      if (count < stride) std::memset(out + k * stride, 0, (last - k) * stride * sizeof(T));
      for (int64_t unit = 0; unit < count; ++unit)
        for (int64_t j = k; j < last; ++j) out[j * stride + unit] = in[unit * gates * H + j];
    }
  }

  // Phase p takes the gradient from the p-th step from the end to the one before.
  template <typename Cell>
  void tile(const Cell& cell, int64_t phase, int64_t panel, int width, int64_t first, int height) const {
    alignas(64) T sums[kRows * 2 * kLanes<T>];
    if (phase > 0) {
      const int64_t depth = gates * shape.units;
      const T* a = du + (shape.at(shape.steps - phase) * shape.batch + first) * depth;
      if (width == 2) {
        panel_sums<T, 2>(height, depth, a, depth, panel_at(panel), sums, 2);
      } else {
        panel_sums<T, 1>(height, depth, a, depth, panel_at(panel), sums, 1);
      }
    }
    for (int64_t row = first; row < first + height; ++row)
      for (int v = 0; v < width; ++v) {
        const int64_t unit = (panel * width_ + v) * kLanes<T>;
        pass(cell, phase, row, unit, std::min<int64_t>(kLanes<T>, shape.units - unit),
             sums + ((row - first) * width + v) * kLanes<T>);
      }
  }

  // dh0 holds the gradient that reaches the h before a step without the product: all of it if the step keeps the state,
  // none if the state is reset.
  template <typename Cell>
  void pass(const Cell& cell, int64_t phase, int64_t row, int64_t unit, int64_t n, const T* sum) const {
    const int64_t H = shape.units, at = row * H + unit, step = shape.steps - 1 - phase;
    Vector<T> dh = load_some((phase == 0 ? g_h : dh0) + at, n);
    if (phase == 0) {
      cell.begin(row, unit, n);
    } else {
      const int64_t later = shape.at(step + 1);
      if (!shape.kept(later, row) && !shape.reset(later, row)) dh += shape.masked(row, unit, n, load(sum));
    }
    if (step >= 0) {
      const int64_t t = shape.at(step);
      dh += load_some(g_hs + t * shape.batch * H + at, n);
      if (shape.kept(t, row)) {
        cell.keep(t, row, unit, n);
      } else {
        dh = cell.pull(t, step, row, unit, n, dh);
        if (shape.reset(t, row)) dh = Vector<T>{};
      }
    }
    store_some(dh0 + at, dh, n);
  }
};

}  // namespace rnnlm
