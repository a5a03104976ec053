#include "call.h"
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
  rnnlm::product(c->dimensions()[0], c->dimensions()[1], depth, a.typed_data(), *transpose_a, b.typed_data(),
                 *transpose_b, rnnlm::fresh(c), rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(matmul, multiply<RNNLM_TYPE>);
