#include "elman.h"

#include "recurrence_call.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix, rnnlm::Number, rnnlm::recurrence_shape, rnnlm::Reverse, rnnlm::Row, rnnlm::Sequence;

constexpr char kActivation[] = "activation";
using Activation = ffi::Attr<int64_t, kActivation>;

// Calls f with the activation of a number, in the order of ACTIVATIONS in elman.py.
template <typename F>
ffi::Error with_activation(int64_t number, F&& f) {
  switch (number) {
    case 0: f(rnnlm::Identity()); return ffi::Error::Success();
    case 1: f(rnnlm::Sigmoid()); return ffi::Error::Success();
    case 2: f(rnnlm::Tanh()); return ffi::Error::Success();
    case 3: f(rnnlm::Relu()); return ffi::Error::Success();
  }
  return ffi::Error::InvalidArgument("no activation has that number");
}

template <ffi::DataType type>
ffi::Error forward_loop(ffi::ThreadPool& pool, Matrix<type>& zs, Matrix<type>& w_h, Row<type>& b, Matrix<type>& h0,
                        Matrix<type>& step_mask, Matrix<type>& keep_state, Matrix<type>& hs, Number<type>* before,
                        Reverse reverse, Activation activation) {
  return with_activation(*activation, [&](auto phi) {
    rnnlm::ElmanForward<Number<type>, decltype(phi)>{
        {recurrence_shape<type>(zs, h0, step_mask, keep_state, reverse), w_h.typed_data(), h0.typed_data(),
        hs.typed_data(), before},
        zs.typed_data(),
        b.typed_data()}
        .run(rnnlm::Parallel(pool));
  });
}

template <ffi::DataType type>
ffi::Error infer(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0,
                 Matrix<type> step_mask, Matrix<type> keep_state, ffi::Result<Matrix<type>> hs, Reverse reverse,
                 Activation activation) {
  return forward_loop<type>(pool, zs, w_h, b, h0, step_mask, keep_state, *hs, nullptr, reverse, activation);
}

template <ffi::DataType type>
ffi::Error forward(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0,
                   Matrix<type> step_mask, Matrix<type> keep_state, ffi::Result<Matrix<type>> hs,
                   ffi::Result<Matrix<type>> before, Reverse reverse, Activation activation) {
  return forward_loop<type>(pool, zs, w_h, b, h0, step_mask, keep_state, *hs, rnnlm::fresh(before), reverse,
  activation);
}

template <ffi::DataType type>
ffi::Error backward(ffi::ThreadPool pool, Matrix<type> hs, Matrix<type> w_h, Matrix<type> step_mask,
                    Matrix<type> keep_state, Matrix<type> g_hs, Matrix<type> g_h, ffi::Result<Matrix<type>> du,
                    ffi::Result<Matrix<type>> dh0, Reverse reverse, Activation activation) {
  return with_activation(*activation, [&](auto phi) {
    rnnlm::ElmanBackward<Number<type>, decltype(phi)>{
        {recurrence_shape<type>(hs, g_h, step_mask, keep_state, reverse), w_h.typed_data(), g_hs.typed_data(),
         g_h.typed_data(), du->typed_data(), dh0->typed_data()},
        hs.typed_data()}
        .run(rnnlm::Parallel(pool));
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(elman_infer, infer<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(elman_forward, forward<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(elman_backward, backward<RNNLM_TYPE>);
