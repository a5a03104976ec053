// The elementwise part of the LSTM over time, and of its gradient.
#pragma once
#include "recurrence.h"
#include "vector_math.h"

namespace rnnlm {

// Gates are in the order i, f, g, o. If `capped`, the input gate is at most one minus the forget gate, as the sigmoid of
// the smaller pre-activation; where it is, i is stored as -i.
template <typename T, bool projects = false>
struct LstmForward {
  ForwardLoop<T, 4, 2, projects> loop;
  bool capped;
  const T *zs, *b, *c0;  // [T, B, 4H] unless it projects, [4H], [B, H]
  T* c;                  // [B, H], the last c
  // For the backward pass, or null: [T, B, 4H], may share the memory of zs; and c, [T, B, H].
  T *gates = nullptr, *cs = nullptr;

  template <typename Parallel>
  void run(const Parallel& parallel) {
    loop.run(parallel, *this);
  }

  void begin(int64_t row, int64_t unit, int64_t n) const {
    const int64_t at = row * loop.shape.units + unit;
    store_some(c + at, load_some(c0 + at, n), n);
  }

  void prefetch(int64_t step, int64_t row, int height, int64_t unit) const {
    const int64_t H = loop.shape.units;
    prefetch_vectors(zs + (loop.shape.at(step) * loop.shape.batch + row) * 4 * H + unit, H, 4 * height);
  }

  void update(int64_t step, int64_t first, int height, int64_t unit, int64_t n, T* sums,
              const T* projected = nullptr) const {
    const auto& shape = loop.shape;
    const int64_t H = shape.units, t = shape.at(step), gate_stride = projects ? kLanes<T> : H;
    Vector<T> bias[4];
    for (int64_t gate = 0; gate < 4; ++gate) bias[gate] = load_some(b + gate * H + unit, n);
    // Two loops, each over independent rows, so that the processor overlaps them.
    for (int64_t row = first; row < first + height; ++row) {
      const int64_t gate = (t * shape.batch + row) * 4 * H + unit;
      T* sum = sums + (row - first) * 4 * kLanes<T>;
      const T* const z = projects ? projected + (row - first) * 4 * kLanes<T> : zs + gate;
      const auto preactivation = [&](int64_t k) {
        return load(sum + k * kLanes<T>) + load_some(z + k * gate_stride, n) + bias[k];
      };
      const Vector<T> free = preactivation(0), forget = preactivation(1);
      auto is_capped = -forget <= free;
      if (!capped) is_capped = decltype(is_capped){};
      const Vector<T> i = sigmoid<T>(is_capped ? -forget : free), f = sigmoid<T>(forget);
      const Vector<T> g = tanh<T>(preactivation(2));
      const Vector<T> o = sigmoid<T>(preactivation(3));
      store(sum, i * g + (shape.reset(t, row) ? Vector<T>{} : f * load_some(c + row * H + unit, n)));
      store(sum + kLanes<T>, o);
      if (gates == nullptr) continue;
      store_some(gates + gate, is_capped ? -i : i, n);
      store_some(gates + gate + H, f, n);
      store_some(gates + gate + 2 * H, g, n);
      store_some(gates + gate + 3 * H, o, n);
    }
    for (int64_t row = first; row < first + height; ++row) {
      const int64_t at = row * H + unit;
      const T* sum = sums + (row - first) * 4 * kLanes<T>;
      const Vector<T> cell = shape.kept(t, row) ? load_some(c + at, n) : load(sum);
      store_some(c + at, cell, n);
      if (cs != nullptr) store_some(cs + t * shape.batch * H + at, cell, n);
      loop.show(step, row, unit, n, load(sum + kLanes<T>) * tanh<T>(cell));
    }
  }
};

template <typename T>
struct LstmBackward {
  BackwardLoop<T, 4> loop;  // du may share the memory of gates
  const T *gates, *cs, *c0;  // [T, B, 4H], [T, B, H], [B, H]
  const T* g_c;              // cotangent of the last c [B, H]
  T* dc0;                    // of c0 [B, H]

  template <typename Parallel>
  void run(const Parallel& parallel) {
    loop.run(parallel, *this);
  }

  void begin(int64_t row, int64_t unit, int64_t n) const {
    const int64_t at = row * loop.shape.units + unit;
    store_some(dc0 + at, load_some(g_c + at, n), n);
  }

  void keep(int64_t t, int64_t row, int64_t unit, int64_t n) const {
    const int64_t H = loop.shape.units;
    T* du = loop.du + (t * loop.shape.batch + row) * 4 * H + unit;
    for (int64_t gate = 0; gate < 4; ++gate) store_some(du + gate * H, Vector<T>{}, n);
  }

  // dc0 holds the gradient of c while the loop goes back in time.
  Vector<T> pull(int64_t t, int64_t step, int64_t row, int64_t unit, int64_t n, Vector<T> dh) const {
    const auto& shape = loop.shape;
    const int64_t H = shape.units, at = row * H + unit, gate = (t * shape.batch + row) * 4 * H + unit;
    const bool reset = shape.reset(t, row);
    const Vector<T> stored = load_some(gates + gate, n), f = load_some(gates + gate + H, n);
    const auto is_capped = stored < 0;
    const Vector<T> i = is_capped ? -stored : stored;
    const Vector<T> g = load_some(gates + gate + 2 * H, n), o = load_some(gates + gate + 3 * H, n);
    const TanhAndSlope<T> shown(load_some(cs + t * shape.batch * H + at, n));
    Vector<T> old = {};
    if (!reset) old = load_some((step > 0 ? cs + shape.at(step - 1) * shape.batch * H : c0) + at, n);
    const Vector<T> dc = load_some(dc0 + at, n) + dh * o * shown.slope;
    T* const du = loop.du + gate;
    const Vector<T> along_i = dc * g * (i * (1 - i)), along_f = dc * old * (f * (1 - f));
    store_some(du, is_capped ? Vector<T>{} : along_i, n);
    store_some(du + H, is_capped ? along_f - along_i : along_f, n);
    store_some(du + 2 * H, dc * i * (1 - g * g), n);
    store_some(du + 3 * H, dh * shown.value * (o * (1 - o)), n);
    store_some(dc0 + at, reset ? Vector<T>{} : dc * f, n);
    return Vector<T>{};
  }
};

}  // namespace rnnlm
