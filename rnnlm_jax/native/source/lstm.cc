#include "lstm.h"

#include "parallel.h"

namespace ffi = xla::ffi;

namespace {

template <ffi::DataType type>
using Sequence = ffi::Buffer<type, 3>;  // [T, B, H]
template <ffi::DataType type>
using Matrix = ffi::Buffer<type, 2>;

template <ffi::DataType type>
using Row = ffi::Buffer<type, 1>;

template <ffi::DataType type>
using Number = ffi::NativeType<type>;

// `gates` is [T*B, 4H], a state [B, H]; `counts` and `carries` are [T, B], or empty for all ones.
template <ffi::DataType type>
rnnlm::LstmShape<Number<type>> shape(Matrix<type> gates, Matrix<type> state, Matrix<type> counts, Matrix<type> carries,
                                     bool reverse) {
  const auto given = [](Matrix<type>& a) { return a.element_count() > 0 ? a.typed_data() : nullptr; };
  const int64_t batch = state.dimensions()[0];
  return {gates.dimensions()[0] / batch, batch, state.dimensions()[1], reverse, given(counts), given(carries)};
}

template <ffi::DataType type>
ffi::Error infer(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0, Matrix<type> c0,
                 Matrix<type> counts, Matrix<type> carries, ffi::Result<Sequence<type>> hs,
                 ffi::Result<Matrix<type>> c, bool reverse) {
  rnnlm::LstmForward<Number<type>>{shape<type>(zs, c0, counts, carries, reverse), zs.typed_data(), w_h.typed_data(),
                                   b.typed_data(), h0.typed_data(), c0.typed_data(), hs->typed_data(), c->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error forward(ffi::ThreadPool pool, Matrix<type> zs, Matrix<type> w_h, Row<type> b, Matrix<type> h0,
                   Matrix<type> c0, Matrix<type> counts, Matrix<type> carries, ffi::Result<Sequence<type>> hs,
                   ffi::Result<Matrix<type>> c, ffi::Result<Matrix<type>> gates, ffi::Result<Sequence<type>> cs,
                   ffi::Result<Sequence<type>> before, bool reverse) {
  rnnlm::LstmForward<Number<type>>{shape<type>(zs, c0, counts, carries, reverse), zs.typed_data(), w_h.typed_data(),
                                   b.typed_data(), h0.typed_data(), c0.typed_data(), hs->typed_data(), c->typed_data(),
                                   gates->typed_data(), cs->typed_data(), before->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error backward(ffi::ThreadPool pool, Matrix<type> gates, Sequence<type> cs, Matrix<type> c0, Matrix<type> w_h,
                    Matrix<type> counts, Matrix<type> carries, Sequence<type> g_hs, Matrix<type> g_h, Matrix<type> g_c,
                    ffi::Result<Matrix<type>> du, ffi::Result<Matrix<type>> dh0, ffi::Result<Matrix<type>> dc0,
                    bool reverse) {
  rnnlm::LstmBackward<Number<type>>{shape<type>(gates, c0, counts, carries, reverse),
                                    gates.typed_data(), cs.typed_data(), c0.typed_data(), w_h.typed_data(),
                                    g_hs.typed_data(), g_h.typed_data(), g_c.typed_data(),
                                    du->typed_data(), dh0->typed_data(), dc0->typed_data()}
      .run(rnnlm::Parallel(pool));
  return ffi::Error::Success();
}

template <ffi::DataType type>
auto forward_arguments() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Row<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Ret<Sequence<type>>()
      .template Ret<Matrix<type>>();
}

template <ffi::DataType type>
auto infer_binding() {
  return forward_arguments<type>().template Attr<bool>("reverse");
}

template <ffi::DataType type>
auto forward_binding() {
  return forward_arguments<type>()
      .template Ret<Matrix<type>>()
      .template Ret<Sequence<type>>()
      .template Ret<Sequence<type>>()
      .template Attr<bool>("reverse");
}

template <ffi::DataType type>
auto backward_binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .template Arg<Matrix<type>>()
      .template Arg<Sequence<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Sequence<type>>()
      .template Arg<Matrix<type>>()
      .template Arg<Matrix<type>>()
      .template Ret<Matrix<type>>()
      .template Ret<Matrix<type>>()
      .template Ret<Matrix<type>>()
      .template Attr<bool>("reverse");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_infer, infer<RNNLM_TYPE>, infer_binding<RNNLM_TYPE>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_forward, forward<RNNLM_TYPE>, forward_binding<RNNLM_TYPE>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lstm_backward, backward<RNNLM_TYPE>, backward_binding<RNNLM_TYPE>());
