#include "lstm.h"

#include "recurrence_call.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix, rnnlm::Number, rnnlm::recurrence_shape, rnnlm::Reverse, rnnlm::Row, rnnlm::Sequence;

template <ffi::DataType type>
ffi::Error infer(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0, Matrix<type> c0,
                 Matrix<type> step_mask, Matrix<type> keep_state, ffi::Result<Sequence<type>> hs,
                 ffi::Result<Matrix<type>> c, Reverse reverse) {
  rnnlm::LstmForward<Number<type>>{{recurrence_shape<type>(zs, c0, step_mask, keep_state, reverse), w_h.typed_data(),
                                    h0.typed_data(), hs->typed_data()},
                                   zs.typed_data(), b.typed_data(), c0.typed_data(), c->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error forward(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0,
                   Matrix<type> c0, Matrix<type> step_mask, Matrix<type> keep_state, ffi::Result<Sequence<type>> hs,
                   ffi::Result<Matrix<type>> c, ffi::Result<Matrix<type>> gates, ffi::Result<Sequence<type>> cs,
                   ffi::Result<Sequence<type>> before, Reverse reverse) {
  rnnlm::LstmForward<Number<type>>{{recurrence_shape<type>(zs, c0, step_mask, keep_state, reverse), w_h.typed_data(),
                                    h0.typed_data(), hs->typed_data(), before->typed_data()},
                                   zs.typed_data(), b.typed_data(), c0.typed_data(), c->typed_data(),
                                   gates->typed_data(), cs->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error backward(ffi::ThreadPool pool, Matrix<type> gates, Sequence<type> cs, Matrix<type> c0, Matrix<type> w_h,
                    Matrix<type> step_mask, Matrix<type> keep_state, Sequence<type> g_hs, Matrix<type> g_h,
                    Matrix<type> g_c,
                    ffi::Result<Matrix<type>> du, ffi::Result<Matrix<type>> dh0, ffi::Result<Matrix<type>> dc0,
                    Reverse reverse) {
  rnnlm::LstmBackward<Number<type>>{{recurrence_shape<type>(gates, c0, step_mask, keep_state, reverse),
  w_h.typed_data(), g_hs.typed_data(), g_h.typed_data(), du->typed_data(), dh0->typed_data()},
                                    gates.typed_data(), cs.typed_data(), c0.typed_data(), g_c.typed_data(),
                                    dc0->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_infer, infer<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_forward, forward<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_backward, backward<RNNLM_TYPE>);
