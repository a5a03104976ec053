#include "cross_entropy.h"

#include "call.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix, rnnlm::Number, rnnlm::Numbers, rnnlm::Row;

constexpr char kByWord[] = "by_word", kChunk[] = "rows";
using ByWord = ffi::Attr<bool, kByWord>;  // whether w has a row, not a column, for each word
using Rows = ffi::Attr<int64_t, kChunk>;  // rows of a chunk

template <ffi::DataType type>
ffi::Error run(ffi::ThreadPool pool, Matrix<type> h, Matrix<type> w, Row<type> b, Numbers targets,
               Row<type> weights, bool by_word, int64_t rows, Row<type> memory,
               rnnlm::LossAndGradients<Number<type>> out) {
  using T = Number<type>;
  const rnnlm::OutputLayer<T> layer{static_cast<int64_t>(h.dimensions()[1]), static_cast<int64_t>(b.element_count()),
                                    w.typed_data(), by_word, b.typed_data()};
  const int64_t needed = std::min<int64_t>(rows, h.dimensions()[0]) * layer.panels() * rnnlm::kColumns<T>;
  if (rows < 1 || static_cast<int64_t>(memory.element_count()) < needed)
    return ffi::Error::InvalidArgument("cross entropy: too little memory for the logits of a chunk");
  rnnlm::prefer_large_pages(memory.untyped_data(), memory.size_bytes());
  if (out.dw) rnnlm::prefer_large_pages(out.dw, w.size_bytes());
  const rnnlm::Parallel parallel(pool);
  rnnlm::CrossEntropy<T, rnnlm::Parallel>(layer, out, parallel)
      .run(h.dimensions()[0], h.typed_data(), targets.typed_data(), weights.typed_data(), rows, memory.typed_data());
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error nats(ffi::ThreadPool pool, Matrix<type> h, Matrix<type> w, Row<type> b, Numbers targets,
                Row<type> weights, ffi::Result<Row<type>> nats, ffi::Result<Row<type>> memory, ByWord by_word,
                Rows rows) {
  return run<type>(pool, h, w, b, targets, weights, *by_word, *rows, *memory,
                   {nats->typed_data(), nullptr, nullptr, nullptr});
}

template <ffi::DataType type>
ffi::Error gradients(ffi::ThreadPool pool, Matrix<type> h, Matrix<type> w, Row<type> b, Numbers targets,
                     Row<type> weights, ffi::Result<Row<type>> nats, ffi::Result<Matrix<type>> dh,
                     ffi::Result<Matrix<type>> dw, ffi::Result<Row<type>> db, ffi::Result<Row<type>> memory,
                     ByWord by_word, Rows rows) {
  return run<type>(pool, h, w, b, targets, weights, *by_word, *rows, *memory,
                   {nats->typed_data(), dh->typed_data(), dw->typed_data(), db->typed_data()});
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(cross_entropy_nats, nats<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(cross_entropy_gradients, gradients<RNNLM_TYPE>);
