#include "lstm.h"

#include "recurrence_call.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix, rnnlm::Number, rnnlm::Reverse, rnnlm::Row, rnnlm::Sequence;

constexpr char kCapped[] = "capped";
using Capped = ffi::Attr<bool, kCapped>;

template <ffi::DataType type>
rnnlm::RecurrenceShape<Number<type>> shape_of(Matrix<type>& gates, Matrix<type>& state, Matrix<type>& step_mask,
                                              Matrix<type>& keep_state, Matrix<type>& state_mask, Reverse reverse) {
  auto shape = rnnlm::recurrence_shape<type>(gates, state, step_mask, keep_state, reverse);
  shape.state_mask = rnnlm::given<type>(state_mask);
  return shape;
}

template <ffi::DataType type>
ffi::Error infer(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0, Matrix<type> c0,
                 Matrix<type> step_mask, Matrix<type> keep_state, Matrix<type> state_mask,
                 ffi::Result<Sequence<type>> hs, ffi::Result<Matrix<type>> c, Reverse reverse, Capped capped) {
  rnnlm::LstmForward<Number<type>>{
      {shape_of<type>(zs, c0, step_mask, keep_state, state_mask, reverse), w_h.typed_data(), h0.typed_data(),
       rnnlm::fresh(hs)},
      *capped, zs.typed_data(), b.typed_data(), c0.typed_data(), c->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error infer_projecting(ffi::ThreadPool pool, Matrix<type> xs, Matrix<type> w_x, Matrix<type> w_h, Row<type> b,
                            Matrix<type> h0, Matrix<type> c0, Matrix<type> step_mask, Matrix<type> keep_state,
                            Matrix<type> state_mask, ffi::Result<Sequence<type>> hs, ffi::Result<Matrix<type>> c,
                            Reverse reverse, Capped capped) {
  rnnlm::LstmForward<Number<type>, true>{
      {shape_of<type>(xs, c0, step_mask, keep_state, state_mask, reverse), w_h.typed_data(), h0.typed_data(),
       rnnlm::fresh(hs), nullptr, xs.typed_data(), w_x.typed_data(), static_cast<int64_t>(xs.dimensions()[1])},
      *capped, nullptr, b.typed_data(), c0.typed_data(), c->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error forward(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0,
                   Matrix<type> c0, Matrix<type> step_mask, Matrix<type> keep_state, Matrix<type> state_mask,
                   ffi::Result<Sequence<type>> hs, ffi::Result<Matrix<type>> c, ffi::Result<Matrix<type>> gates,
                   ffi::Result<Sequence<type>> cs, ffi::Result<Sequence<type>> before, Reverse reverse,
                   Capped capped) {
  rnnlm::LstmForward<Number<type>>{
      {shape_of<type>(zs, c0, step_mask, keep_state, state_mask, reverse), w_h.typed_data(), h0.typed_data(),
       rnnlm::fresh(hs), rnnlm::fresh(before)},
      *capped, zs.typed_data(), b.typed_data(), c0.typed_data(), c->typed_data(), gates->typed_data(),
      rnnlm::fresh(cs)}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

// The residuals say which input gates were capped.
template <ffi::DataType type>
ffi::Error backward(ffi::ThreadPool pool, Matrix<type> gates, Sequence<type> cs, Matrix<type> c0, Matrix<type> w_h,
                    Matrix<type> step_mask, Matrix<type> keep_state, Matrix<type> state_mask, Sequence<type> g_hs,
                    Matrix<type> g_h, Matrix<type> g_c, ffi::Result<Matrix<type>> du, ffi::Result<Matrix<type>> dh0,
                    ffi::Result<Matrix<type>> dc0, Reverse reverse, Capped) {
  rnnlm::LstmBackward<Number<type>>{
      {shape_of<type>(gates, c0, step_mask, keep_state, state_mask, reverse), w_h.typed_data(), g_hs.typed_data(),
       g_h.typed_data(), du->typed_data(), dh0->typed_data()},
      gates.typed_data(), cs.typed_data(), c0.typed_data(), g_c.typed_data(), dc0->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_infer, infer<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_infer_projecting, infer_projecting<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_forward, forward<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_backward, backward<RNNLM_TYPE>);
