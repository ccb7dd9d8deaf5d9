#include "ops/embedding.hpp"

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"

namespace lowbit::ops {
namespace {

void check_ids(const char* table, VectorView<const int32_t> ids, int64_t rows) {
  for (int64_t i = 0; i < ids.size; ++i)
    check<RangeError>(ids[i] >= 0 && ids[i] < rows, "embed: ", table, " id ", ids[i],
                      " at position ", i, " is not between 0 and ", rows - 1);
}

void check_lookup(const char* name, const Lookup& lookup, int64_t count, int64_t cols) {
  if (!lookup) return;
  check(lookup.table.cols == cols, "embed: the ", name, " table has ", lookup.table.cols,
        " columns, the word table ", cols);
  check_size("embed", name, lookup.ids, count);
  check_ids(name, lookup.ids, lookup.table.rows);
}

}  // namespace

void embed(const TableView& word, VectorView<const int32_t> ids, const Lookup& position,
           const Lookup& type, MatrixView<float> out) {
  check_shape("embed", "out", out, ids.size, word.cols);
  check_ids("word", ids, word.rows);
  check_lookup("position", position, ids.size, word.cols);
  check_lookup("type", type, ids.size, word.cols);
  Trace trace("embed", format_info(word.format).name, "M", ids.size, "D", word.cols);
  parallel_for(ids.size, row_grain(word.cols), [&](int64_t begin, int64_t end) {
    kernels().embed({word, ids.data, position.table, position.ids.data, type.table, type.ids.data,
                     out, begin, end});
  });
}

void quantize_rows_int8(MatrixView<const float> source, int8_t* codes, float* scales) {
  Trace trace("quantize_rows", "int8", source.rows, "x", source.cols);
  parallel_for(source.rows, row_grain(source.cols), [&](int64_t begin, int64_t end) {
    kernels().quantize_rows({source, codes, scales, begin, end});
  });
}

}  // namespace lowbit::ops
