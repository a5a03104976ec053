#include "gru.h"

#include "recurrence_call.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix, rnnlm::Number, rnnlm::recurrence_shape, rnnlm::Reverse, rnnlm::Row, rnnlm::Sequence;

template <ffi::DataType type>
ffi::Error infer(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Row<type> b_n, Matrix<type> h0,
                 Matrix<type> step_mask, Matrix<type> keep_state, ffi::Result<Sequence<type>> hs, Reverse reverse) {
  rnnlm::GruForward<Number<type>>{{recurrence_shape<type>(zs, h0, step_mask, keep_state, reverse), w_h.typed_data(),
                                   h0.typed_data(), rnnlm::fresh(hs)},
                                  zs.typed_data(), b.typed_data(), b_n.typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error forward(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Row<type> b_n,
                   Matrix<type> h0, Matrix<type> step_mask, Matrix<type> keep_state, ffi::Result<Sequence<type>> hs,
                   ffi::Result<Matrix<type>> gates, ffi::Result<Sequence<type>> products,
                   ffi::Result<Sequence<type>> before, Reverse reverse) {
  rnnlm::GruForward<Number<type>>{{recurrence_shape<type>(zs, h0, step_mask, keep_state, reverse), w_h.typed_data(),
                                   h0.typed_data(), rnnlm::fresh(hs), rnnlm::fresh(before)},
                                  zs.typed_data(), b.typed_data(), b_n.typed_data(), gates->typed_data(),
                                  rnnlm::fresh(products)}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error backward(ffi::ThreadPool pool, Matrix<type> gates, Sequence<type> products, Sequence<type> before,
                    Matrix<type> w_h, Matrix<type> step_mask, Matrix<type> keep_state, Sequence<type> g_hs,
                    Matrix<type> g_h,
                    ffi::Result<Matrix<type>> dz, ffi::Result<Matrix<type>> du, ffi::Result<Matrix<type>> dh0,
                    Reverse reverse) {
  rnnlm::GruBackward<Number<type>>{{recurrence_shape<type>(gates, g_h, step_mask, keep_state, reverse),
  w_h.typed_data(), g_hs.typed_data(), g_h.typed_data(), du->typed_data(), dh0->typed_data()},
                                   gates.typed_data(), products.typed_data(), before.typed_data(), dz->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(gru_infer, infer<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(gru_forward, forward<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(gru_backward, backward<RNNLM_TYPE>);
