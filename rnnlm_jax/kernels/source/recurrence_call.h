// Arguments that all XLA calls of recurrences share.
#pragma once
#include "call.h"
#include "parallel.h"
#include "recurrence.h"

namespace rnnlm {

// Whether the loop runs from the last step to the first.
inline constexpr char kReverse[] = "reverse";
using Reverse = xla::ffi::Attr<bool, kReverse>;

// The memory of an optional argument; null if it is empty.
template <xla::ffi::DataType type>
Number<type>* given(Matrix<type>& a) {
  return a.element_count() > 0 ? a.typed_data() : nullptr;
}

// `gates` is [T*B, ...], a state [B, H]; `step_mask` and `keep_state` are [T, B], or empty for all ones.
template <xla::ffi::DataType type>
RecurrenceShape<Number<type>> recurrence_shape(Matrix<type>& gates, Matrix<type>& state, Matrix<type>& step_mask,
                                               Matrix<type>& keep_state, Reverse reverse) {
  const int64_t batch = state.dimensions()[0];
  return {gates.dimensions()[0] / batch, batch, state.dimensions()[1], *reverse, given<type>(step_mask), given<type>(keep_state)};
}

}  // namespace rnnlm
