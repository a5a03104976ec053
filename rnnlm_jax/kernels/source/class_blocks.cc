#include "class_blocks.h"

#include "call.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix, rnnlm::Number, rnnlm::Numbers;

constexpr char kWidth[] = "width", kWords[] = "words";
using Width = ffi::Attr<int64_t, kWidth>;  // length of a row of logits

rnnlm::Tiles tiles_of(Numbers order, Numbers first, Numbers rows, Numbers start, Numbers size, Numbers bounds) {
  return {order.typed_data(), first.typed_data(), rows.typed_data(),
          start.typed_data(), size.typed_data(),  bounds.typed_data()[bounds.element_count() - 1]};
}

template <ffi::DataType type>
ffi::Error logits(ffi::ThreadPool pool, Matrix<type> h, Matrix<type> w, Numbers order, Numbers first, Numbers rows,
                  Numbers start, Numbers size, Numbers bounds, ffi::Result<Matrix<type>> out, Width width) {
  const rnnlm::Tiles tiles = tiles_of(order, first, rows, start, size, bounds);
  std::memset(out->untyped_data(), 0, out->size_bytes());
  rnnlm::Parallel{pool}(tiles.count, [&](int64_t t) {
    rnnlm::class_logits(tiles, t, h.typed_data(), w.typed_data(), h.dimensions()[1], *width, out->typed_data());
  });
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error rows_of(ffi::ThreadPool pool, Matrix<type> slopes, Matrix<type> w, Numbers order, Numbers first,
                   Numbers rows, Numbers start, Numbers size, Numbers bounds, ffi::Result<Matrix<type>> out,
                   Width width) {
  const rnnlm::Tiles tiles = tiles_of(order, first, rows, start, size, bounds);
  std::memset(out->untyped_data(), 0, out->size_bytes());
  rnnlm::Parallel{pool}(tiles.count, [&](int64_t t) {
    rnnlm::class_rows(tiles, t, slopes.typed_data(), w.typed_data(), w.dimensions()[1], *width, out->typed_data());
  });
  return ffi::Error::Success();
}

// Tiles of one class add to the same rows, so threads divide the columns: every sum is in the order of the tiles.
template <ffi::DataType type>
ffi::Error matrix(ffi::ThreadPool pool, Matrix<type> slopes, Matrix<type> h, Numbers order, Numbers first,
                  Numbers rows, Numbers start, Numbers size, Numbers bounds, ffi::Result<Matrix<type>> out,
                  Width width, ffi::Attr<int64_t, kWords> words) {
  const rnnlm::Tiles tiles = tiles_of(order, first, rows, start, size, bounds);
  const rnnlm::Parallel parallel(pool);
  rnnlm::prefer_large_pages(out->untyped_data(), out->size_bytes());
  const int64_t depth = h.dimensions()[1], shares = parallel.threads(), height = *words;
  parallel(shares, [&](int64_t i) {
    const int64_t begin = i * height / shares, end = (i + 1) * height / shares;
    std::fill(out->typed_data() + begin * depth, out->typed_data() + end * depth, 0);
  });
  parallel(shares, [&](int64_t i) {
    constexpr int64_t lanes = rnnlm::kLanes<Number<type>>;
    const int64_t vectors = (depth + lanes - 1) / lanes;
    const int64_t begin = i * vectors / shares * lanes, end = std::min(depth, (i + 1) * vectors / shares * lanes);
    for (int64_t t = 0; t < tiles.count && begin < end; ++t)
      rnnlm::class_matrix(tiles, t, slopes.typed_data(), h.typed_data(), depth, *width, begin, end, out->typed_data());
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(class_logits, logits<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(class_rows, rows_of<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(class_matrix, matrix<RNNLM_TYPE>);
