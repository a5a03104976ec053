// Vectors of the machine's width, by the vector extension of GCC and clang, and scratch memory of a thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace rnnlm {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRows = 14;  // 14 x 2 accumulators and their operands fill 32 registers
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRows = 6;
#else
constexpr int kVectorBytes = 16, kRows = 6;
#endif

template <typename T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <typename T>
constexpr int kColumns = 2 * kLanes<T>;  // of a panel: the width of a tile of the product

template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};
template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
inline Vector<T> load(const T* p) {
  return *reinterpret_cast<const Vector<T>*>(p);
}

template <typename T>
inline void store(T* p, Vector<T> v) {
  *reinterpret_cast<Vector<T>*>(p) = v;
}

// Reused memory, aligned to cache lines, that grows.
template <typename T>
class Scratch {
 public:
  T* get(size_t count) {
    if (count > count_) {
      memory_.reset(new char[count * sizeof(T) + kLine]);
      count_ = count;
    }
    return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory_.get()) + kLine - 1) & ~uintptr_t{kLine - 1});
  }

 private:
  static constexpr size_t kLine = 64;
  std::unique_ptr<char[]> memory_;
  size_t count_ = 0;
};

}  // namespace rnnlm
