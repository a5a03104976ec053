// The elementwise part of the simple recurrent network over time, and of its gradient.
#pragma once
#include "recurrence.h"
#include "vector_math.h"

namespace rnnlm {

// An activation, and its derivative as a function of its value h.
struct Identity {
  template <typename T>
  static Vector<T> value(Vector<T> x) { return x; }
  template <typename T>
  static Vector<T> slope(Vector<T>) { return 1 - Vector<T>{}; }
};

struct Sigmoid {
  template <typename T>
  static Vector<T> value(Vector<T> x) { return sigmoid<T>(x); }
  template <typename T>
  static Vector<T> slope(Vector<T> h) { return h * (1 - h); }
};

struct Tanh {
  template <typename T>
  static Vector<T> value(Vector<T> x) { return tanh<T>(x); }
  template <typename T>
  static Vector<T> slope(Vector<T> h) { return 1 - h * h; }
};

struct Relu {
  template <typename T>
  static Vector<T> value(Vector<T> x) { return at_least<T>(0, x); }
  template <typename T>
  static Vector<T> slope(Vector<T> h) { return h > 0 ? 1 - Vector<T>{} : Vector<T>{}; }
};

template <typename T, typename Activation>
struct ElmanForward {
  ForwardLoop<T, 1, 1> loop;  // hs may share the memory of zs
  const T *zs, *b;            // [T, B, H], [H]

  template <typename Parallel>
  void run(const Parallel& parallel) {
    loop.run(parallel, *this);
  }

  void begin(int64_t, int64_t, int64_t) const {}

  void prefetch(int64_t step, int64_t row, int height, int64_t unit) const {
    const int64_t H = loop.shape.units;
    prefetch_vectors(zs + (loop.shape.at(step) * loop.shape.batch + row) * H + unit, H, height);
  }

  void update(int64_t step, int64_t first, int height, int64_t unit, int64_t n, T* sums) const {
    const int64_t H = loop.shape.units, begin = loop.shape.at(step) * loop.shape.batch;
    const Vector<T> bias = load_some(b + unit, n);
    // Two loops: rows of the first are independent, so that the processor overlaps them.
    for (int64_t row = first; row < first + height; ++row) {
      T* sum = sums + (row - first) * kLanes<T>;
      store(sum, Activation::template value<T>(load(sum) + load_some(zs + (begin + row) * H + unit, n) + bias));
    }
    for (int64_t row = first; row < first + height; ++row)
      loop.show(step, row, unit, n, load(sums + (row - first) * kLanes<T>));
  }
};

template <typename T, typename Activation>
struct ElmanBackward {
  BackwardLoop<T, 1> loop;
  const T* hs;  // [T, B, H]

  template <typename Parallel>
  void run(const Parallel& parallel) {
    loop.run(parallel, *this);
  }

  void begin(int64_t, int64_t, int64_t) const {}

  void keep(int64_t t, int64_t row, int64_t unit, int64_t n) const {
    store_some(loop.du + (t * loop.shape.batch + row) * loop.shape.units + unit, Vector<T>{}, n);
  }

  Vector<T> pull(int64_t t, int64_t, int64_t row, int64_t unit, int64_t n, Vector<T> dh) const {
    const int64_t at = (t * loop.shape.batch + row) * loop.shape.units + unit;
    store_some(loop.du + at, dh * Activation::template slope<T>(load_some(hs + at, n)), n);
    return Vector<T>{};
  }
};

}  // namespace rnnlm
