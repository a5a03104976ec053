// What the calls of recurrences by XLA share.
#pragma once
#include "parallel.h"
#include "recurrence.h"

namespace rnnlm {

template <xla::ffi::DataType type>
using Sequence = xla::ffi::Buffer<type, 3>;  // [T, B, H]
template <xla::ffi::DataType type>
using Matrix = xla::ffi::Buffer<type, 2>;
template <xla::ffi::DataType type>
using Row = xla::ffi::Buffer<type, 1>;
template <xla::ffi::DataType type>
using Number = xla::ffi::NativeType<type>;

// `gates` is [T*B, ...], a state [B, H]; `counts` and `carries` are [T, B], or empty for all ones.
template <xla::ffi::DataType type>
RecurrenceShape<Number<type>> recurrence_shape(Matrix<type>& gates, Matrix<type>& state, Matrix<type>& counts,
                                               Matrix<type>& carries, bool reverse) {
  const auto given = [](Matrix<type>& a) { return a.element_count() > 0 ? a.typed_data() : nullptr; };
  const int64_t batch = state.dimensions()[0];
  return {gates.dimensions()[0] / batch, batch, state.dimensions()[1], reverse, given(counts), given(carries)};
}

}  // namespace rnnlm
