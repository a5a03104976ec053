// Parameter types of the functions that XLA calls; XLA binds arguments by type.
#pragma once
#include "large_pages.h"
#include "xla/ffi/api/ffi.h"

template <>
struct xla::ffi::CtxBinding<xla::ffi::ThreadPool> {
  using Ctx = xla::ffi::ThreadPool;
};

namespace rnnlm {

template <xla::ffi::DataType type>
using Sequence = xla::ffi::Buffer<type, 3>;  // [T, B, H]
template <xla::ffi::DataType type>
using Matrix = xla::ffi::Buffer<type, 2>;
template <xla::ffi::DataType type>
using Row = xla::ffi::Buffer<type, 1>;
using Numbers = Row<xla::ffi::S32>;
template <xla::ffi::DataType type>
using Number = xla::ffi::NativeType<type>;

// The memory of a result that is about to be written, in large pages if it is large.
template <typename Buffer>
auto* fresh(xla::ffi::Result<Buffer>& result) {
  prefer_large_pages(result->untyped_data(), result->size_bytes());
  return result->typed_data();
}

}  // namespace rnnlm
