#include "ops/embedding.hpp"

#include <limits>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"
#include "ops/streaming.hpp"

namespace lowbit::ops {
namespace {

template <class T>
void check_row_ids(const char* function, const char* table, const T* ids, int64_t count,
                   int64_t rows) {
  bool wrong = false;  // one answer for all of them: a branch for each would cost more than reading
  for (int64_t i = 0; i < count; ++i)
    wrong |= static_cast<uint64_t>(int64_t{ids[i]}) >= static_cast<uint64_t>(rows);
  if (!wrong) return;
  for (int64_t i = 0; i < count; ++i)
    check<RangeError>(ids[i] >= 0 && ids[i] < rows, function, ": ", table, " id ", ids[i],
                      " at position ", i, " is not between 0 and ", rows - 1);
}

void check_lookup(const char* name, const Lookup& lookup, int64_t count, int64_t cols) {
  if (!lookup) return;
  check(lookup.table.cols == cols, "embed: the ", name, " table has ", lookup.table.cols,
        " columns, the word table ", cols);
  check_size("embed", name, lookup.ids, count);
  check_row_ids("embed", name, lookup.ids.data, lookup.ids.size, lookup.table.rows);
}

}  // namespace

RowIds::RowIds(const char* function, const char* table, const Ids& ids, int64_t rows)
    : data_(ids.narrow) {
  check(rows <= std::numeric_limits<int32_t>::max(), function, ": a table of ", rows,
        " rows is too large; at most 2147483647 can be numbered");
  if (!ids.wide) {
    check_row_ids(function, table, ids.narrow, ids.size, rows);
    return;
  }
  check_row_ids(function, table, ids.wide, ids.size, rows);
  narrowed_ = take<int32_t>(ids.size);
  for (int64_t i = 0; i < ids.size; ++i) narrowed_[i] = static_cast<int32_t>(ids.wide[i]);
  data_ = narrowed_.get();
}

void embed(const TableView& word, const Ids& ids, const Lookup& position, const Lookup& type,
           MatrixView<float> out) {
  check_shape("embed", "out", out, ids.size, word.cols);
  const RowIds rows("embed", "word", ids, word.rows);
  check_lookup("position", position, ids.size, word.cols);
  check_lookup("type", type, ids.size, word.cols);
  Trace trace("embed", format_info(word.format).name, "M", ids.size, "D", word.cols);
  const bool streamed = is_streamed(out);
  parallel_for(ids.size, row_grain(word.cols), [&](int64_t begin, int64_t end) {
    kernels().embed({word, rows.data(), ids.size, position.table, position.ids.data, type.table,
                     type.ids.data, out, streamed, begin, end});
  });
}

void check_bags(const char* function, const Bags& bags) {
  check(bags.mode == "sum" || bags.mode == "mean", function, ": mode=\"", bags.mode,
        "\" is not known; use \"sum\" or \"mean\"");
  check_indptr(function, bags.indptr, bags.ids.size);
  if (!bags.weights) return;
  check(bags.mode == "sum", function, ": weights go with mode=\"sum\", not with \"", bags.mode,
        "\"; divide them first");
  check_size(function, "weights", bags.weights, bags.ids.size);
}

void embed_bag(const TableView& table, const Bags& bags, MatrixView<float> out) {
  check_bags("embed_bag", bags);
  check_shape("embed_bag", "out", out, bags.indptr.size - 1, table.cols);
  const RowIds rows("embed_bag", "table", bags.ids, table.rows);
  Trace trace("embed_bag", format_info(table.format).name, "M", bags.ids.size, "bags", out.rows,
              "D", table.cols);
  const bool streamed = is_streamed(out);
  const int64_t average = out.rows ? ceil_div(bags.ids.size, out.rows) : 0;
  parallel_for(out.rows, row_grain((average + 1) * table.cols), [&](int64_t begin, int64_t end) {
    kernels().embed_bag({table, rows.data(), bags.ids.size, bags.indptr.data, bags.weights.data,
                         bags.mode == "mean", out, streamed, begin, end});
  });
}

void quantize_rows_int8(MatrixView<const float> source, int8_t* codes, float* scales) {
  Trace trace("quantize_rows", "int8", source.rows, "x", source.cols);
  parallel_for(source.rows, row_grain(source.cols), [&](int64_t begin, int64_t end) {
    kernels().quantize_rows({source, codes, scales, begin, end});
  });
}

}  // namespace lowbit::ops
