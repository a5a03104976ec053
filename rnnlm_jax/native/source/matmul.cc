#include "parallel.h"
#include "product.h"

namespace ffi = xla::ffi;

template <ffi::DataType type>
using Matrix = ffi::Buffer<type, 2>;

template <ffi::DataType type>
ffi::Error multiply(ffi::ThreadPool pool, Matrix<type> a, Matrix<type> b, ffi::Result<Matrix<type>> c, bool transpose_a,
                  bool transpose_b) {
  const int64_t depth = a.dimensions()[transpose_a ? 0 : 1];
  rnnlm::product(c->dimensions()[0], c->dimensions()[1], depth, a.typed_data(), transpose_a, b.typed_data(),
                 transpose_b, c->typed_data(), rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Ret<Matrix<type>>()
      .template Attr<bool>("transpose_a")
      .template Attr<bool>("transpose_b");
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(matmul, multiply<RNNLM_TYPE>, binding<RNNLM_TYPE>());
