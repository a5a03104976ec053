#include "call.h"
#include "large_pages.h"
#include "parallel.h"
#include "product.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix;

constexpr char kTransposeA[] = "transpose_a", kTransposeB[] = "transpose_b";

template <ffi::DataType type>
ffi::Error multiply(ffi::ThreadPool pool, Matrix<type> a, Matrix<type> b, ffi::Result<Matrix<type>> c,
                    ffi::Attr<bool, kTransposeA> transpose_a, ffi::Attr<bool, kTransposeB> transpose_b) {
  const int64_t depth = a.dimensions()[*transpose_a ? 0 : 1];
  rnnlm::prefer_large_pages(c->untyped_data(), c->size_bytes());
  rnnlm::product(c->dimensions()[0], c->dimensions()[1], depth, a.typed_data(), *transpose_a, b.typed_data(),
                 *transpose_b, c->typed_data(), rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(matmul, multiply<RNNLM_TYPE>);
