// Sums over windows of a table of n-gram features, and the gradient of the table by line.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "call.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace {

using rnnlm::Matrix, rnnlm::Number, rnnlm::Numbers, rnnlm::Row;

using Starts = ffi::Buffer<ffi::S32, 2>;

constexpr int64_t kRowsATask = 64;
constexpr char kWidth[] = "width";

// Where windows begin: line lines[n, o] of the table, and a weight in it.
struct Places {
  Places(const Starts& lines, const Starts& offsets, int64_t line)
      : lines_(lines.typed_data()), offsets_(offsets.typed_data()), orders_(lines.dimensions()[1]), line_(line) {}

  int64_t operator()(int64_t n, int64_t o) const {
    return lines_[n * orders_ + o] * line_ + offsets_[n * orders_ + o];
  }

 private:
  const int32_t *lines_, *offsets_;
  int64_t orders_, line_;
};

// sums[n, k] = sum over o of table[start of (n, o) + k] for k < sizes[n], and 0 beyond.
template <ffi::DataType type>
ffi::Error sums(ffi::ThreadPool pool, Matrix<type> table, Starts lines, Starts offsets, Numbers sizes,
                ffi::Result<Matrix<type>> out, ffi::Attr<int64_t, kWidth> width) {
  using T = Number<type>;
  const int64_t count = lines.dimensions()[0], orders = lines.dimensions()[1], columns = *width;
  const T* weights = table.typed_data();
  const Places start(lines, offsets, table.dimensions()[1]);
  rnnlm::Parallel{pool}((count + kRowsATask - 1) / kRowsATask, [&](int64_t task) {
    for (int64_t n = task * kRowsATask; n < std::min(count, (task + 1) * kRowsATask); ++n) {
      T* __restrict__ sum = out->typed_data() + n * columns;
      std::fill(sum, sum + columns, T{0});
      const int64_t size = sizes.typed_data()[n];
      for (int64_t o = 0; o < orders; ++o) {
        const T* window = weights + start(n, o);
        for (int64_t k = 0; k < size; ++k) sum[k] += window[k];
      }
    }
  });
  return ffi::Error::Success();
}

// A slot for each distinct line of a table, in order of first occurrence.
class Slots {
 public:
  explicit Slots(int64_t most) {
    int64_t room = 64;
    while (room < 2 * most) room *= 2;
    places_.assign(room, {-1, 0});
  }

  int32_t operator[](int32_t line) {
    for (uint32_t p = static_cast<uint32_t>(line) * 0x9E3779B1u;; ++p) {
      Place& place = places_[p & (places_.size() - 1)];
      if (place.line == line) return place.slot;
      if (place.line < 0) {
        place = {line, used_};
        return used_++;
      }
    }
  }

 private:
  struct Place {
    int32_t line, slot;
  };
  std::vector<Place> places_;
  int32_t used_ = 0;
};

// rows[line] += slopes[n, k] + shrink[n] table[start of (n, o) + k] at every weight that was read, each line once.
template <typename T>
class Gradient {
 public:
  Gradient(const T* table, int64_t line, int64_t most, int32_t* ids, T* rows)
      : table_(table), line_(line), ids_(ids), rows_(rows), slots_(most) {
    std::fill(ids, ids + most, std::numeric_limits<int32_t>::max());
    std::fill(rows, rows + most * line, T{0});
  }

  void add(int64_t start, int64_t size, const T* slope, T shrink) {
    for (int64_t at = start, end = start + size; at < end;) {
      const int64_t id = at / line_, stop = std::min(end, (id + 1) * line_);
      const int32_t slot = slots_[static_cast<int32_t>(id)];
      ids_[slot] = static_cast<int32_t>(id);
      T* __restrict__ row = rows_ + slot * line_ + (at - id * line_);
      const T *slopes = slope + (at - start), *weights = table_ + at;
      if (shrink == 0) {
        for (int64_t i = 0; i < stop - at; ++i) row[i] += slopes[i];
      } else {
        for (int64_t i = 0; i < stop - at; ++i) row[i] += slopes[i] + shrink * weights[i];
      }
      at = stop;
    }
  }

 private:
  const T* table_;
  int64_t line_;
  int32_t* ids_;
  T* rows_;
  Slots slots_;
};

template <ffi::DataType type>
ffi::Error gradient(Matrix<type> table, Matrix<type> of_classes, Matrix<type> of_words, Row<type> shrink,
                    Starts class_lines, Starts class_offsets, Starts word_lines, Starts word_offsets, Numbers sizes,
                    ffi::Result<Numbers> ids, ffi::Result<Matrix<type>> rows) {
  using T = Number<type>;
  const int64_t count = class_lines.dimensions()[0], orders = class_lines.dimensions()[1];
  const int64_t all = of_classes.dimensions()[1], width = of_words.dimensions()[1];
  const int64_t line = table.dimensions()[1];
  const Places classes(class_lines, class_offsets, line), words(word_lines, word_offsets, line);
  Gradient<T> found(table.typed_data(), line, ids->element_count(), ids->typed_data(), rows->typed_data());
  for (int64_t n = 0; n < count; ++n) {
    const T by = shrink.typed_data()[n];
    const int64_t size = sizes.typed_data()[n];
    for (int64_t o = 0; o < orders; ++o) {
      found.add(classes(n, o), all, of_classes.typed_data() + n * all, by);
      found.add(words(n, o), size, of_words.typed_data() + n * width, by);
    }
  }
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(feature_sums, sums<RNNLM_TYPE>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(feature_gradient, gradient<RNNLM_TYPE>);
