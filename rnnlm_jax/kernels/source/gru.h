// The elementwise part of the GRU over time, reset gate after the recurrent product, and of its gradient.
#pragma once
#include "recurrence.h"
#include "vector_math.h"

namespace rnnlm {

// Gates are in the order r, u, n: reset, update, candidate.
template <typename T>
struct GruForward {
  ForwardLoop<T, 3, 3> loop;
  const T *zs, *b, *b_n;  // [T, B, 3H], [3H], [H]
  // For the backward pass, or null: [T, B, 3H], may share the memory of zs; and h U_n + b_n, [T, B, H].
  T *gates = nullptr, *products = nullptr;

  template <typename Parallel>
  void run(const Parallel& parallel) {
    loop.run(parallel, *this);
  }

  void begin(int64_t, int64_t, int64_t) const {}

  void prefetch(int64_t step, int64_t row, int height, int64_t unit) const {
    const int64_t H = loop.shape.units;
    prefetch_vectors(zs + (loop.shape.at(step) * loop.shape.batch + row) * 3 * H + unit, H, 3 * height);
  }

  void update(int64_t step, int64_t first, int height, int64_t unit, int64_t n, T* sums) const {
    const int64_t H = loop.shape.units, begin = loop.shape.at(step) * loop.shape.batch;
    Vector<T> bias[3];
    for (int64_t gate = 0; gate < 3; ++gate) bias[gate] = load_some(b + gate * H + unit, n);
    const Vector<T> inner_bias = load_some(b_n + unit, n);
    // Two loops, each over independent rows, so that the processor overlaps them.
    for (int64_t row = first; row < first + height; ++row) {
      const T* z = zs + (begin + row) * 3 * H + unit;
      T* sum = sums + (row - first) * 3 * kLanes<T>;
      const Vector<T> r = sigmoid<T>(load(sum) + load_some(z, n) + bias[0]);
      const Vector<T> u = sigmoid<T>(load(sum + kLanes<T>) + load_some(z + H, n) + bias[1]);
      const Vector<T> product = load(sum + 2 * kLanes<T>) + inner_bias;
      store(sum, load_some(z + 2 * H, n) + bias[2] + r * product);
      store(sum + kLanes<T>, u);
      if (gates == nullptr) continue;
      T* gate = gates + (begin + row) * 3 * H + unit;
      store_some(gate, r, n);
      store_some(gate + H, u, n);
      store_some(products + (begin + row) * H + unit, product, n);
    }
    for (int64_t row = first; row < first + height; ++row) {
      const T* sum = sums + (row - first) * 3 * kLanes<T>;
      const Vector<T> candidate = tanh<T>(load(sum)), u = load(sum + kLanes<T>);
      if (gates != nullptr) store_some(gates + ((begin + row) * 3 + 2) * H + unit, candidate, n);
      const Vector<T> old = load_some(loop.read_at(step) + row * H + unit, n);
      loop.show(step, row, unit, n, candidate + u * (old - candidate));
    }
  }
};

template <typename T>
struct GruBackward {
  BackwardLoop<T, 3> loop;
  const T *gates, *products, *before;  // [T, B, 3H], [T, B, H], and the h that a step reads, [T, B, H]
  T* dz;                               // cotangents of the projected inputs [T, B, 3H], may share the memory of gates

  template <typename Parallel>
  void run(const Parallel& parallel) {
    loop.run(parallel, *this);
  }

  void begin(int64_t, int64_t, int64_t) const {}

  void keep(int64_t t, int64_t row, int64_t unit, int64_t n) const {
    const int64_t H = loop.shape.units, at = (t * loop.shape.batch + row) * 3 * H + unit;
    for (int64_t gate = 0; gate < 3; ++gate) {
      store_some(dz + at + gate * H, Vector<T>{}, n);
      store_some(loop.du + at + gate * H, Vector<T>{}, n);
    }
  }

  Vector<T> pull(int64_t t, int64_t, int64_t row, int64_t unit, int64_t n, Vector<T> dh) const {
    const int64_t H = loop.shape.units, place = t * loop.shape.batch + row;
    const int64_t at = place * H + unit, gate = place * 3 * H + unit;
    const Vector<T> r = load_some(gates + gate, n), u = load_some(gates + gate + H, n);
    const Vector<T> candidate = load_some(gates + gate + 2 * H, n), product = load_some(products + at, n);
    const Vector<T> d_update = dh * (load_some(before + at, n) - candidate) * (u * (1 - u));
    const Vector<T> d_candidate = dh * (1 - u) * (1 - candidate * candidate);
    const Vector<T> d_reset = d_candidate * product * (r * (1 - r));
    T *const by_input = dz + gate, *const by_state = loop.du + gate;
    store_some(by_input, d_reset, n);
    store_some(by_input + H, d_update, n);
    store_some(by_input + 2 * H, d_candidate, n);
    store_some(by_state, d_reset, n);
    store_some(by_state + H, d_update, n);
    store_some(by_state + 2 * H, d_candidate * r, n);
    return dh * u;
  }
};

}  // namespace rnnlm
