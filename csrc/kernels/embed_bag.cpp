// Sums and means of rows of an embedding table. Gradients are such sums, too: ops/row_gradient.cpp.
#include "kernels/table_args.hpp"
#include "kernels/table_rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Rows that are added at a time: the sums are read and written once for them, and lines of as many
// rows are asked for in turn. Eight are no faster.
constexpr int kBagRows = 4;

// What becomes of a sum after its rows.
struct Finish {
  bool begins;  // the sum is that of these rows alone
  bool scaled;  // it is multiplied by `scale`
  F32 scale;
};

template <int count, bool weighted, class Rows>
[[gnu::always_inline]] inline void add_rows(const Rows& rows, const EmbedBagArgs& a, int64_t first,
                                            const Finish& finish, float* out) {
  typename Rows::Row row[count];
  int64_t ahead[count];
  F32 weight[count];
#pragma GCC unroll 4
  for (int k = 0; k < count; ++k) {
    const int64_t at = first + k + kRowsAhead;
    ahead[k] = a.ids[at < a.id_count ? at : a.id_count - 1];
    rows.find(a.ids[first + k], row[k]);
    weight[k] = weighted ? set1(a.weights[first + k]) : zero();
  }
  for_lines(rows, ahead, a.table.cols, [&](int64_t c, int lanes) {
    F32 sum = finish.begins ? zero() : read(out + c, lanes);
#pragma GCC unroll 4
    for (int k = 0; k < count; ++k) {
      const F32 values = rows.read(row[k], c, lanes);
      sum = weighted ? fma(weight[k], values, sum) : sum + values;
    }
    write(out + c, finish.scaled ? sum * finish.scale : sum, lanes);
  });
}

template <bool weighted, class Rows>
void add_bag(const Rows& rows, const EmbedBagArgs& a, int64_t begin, int64_t end, float* out) {
  const F32 scale = set1(a.mean ? 1.0f / static_cast<float>(end - begin) : 1.0f);
  for (int64_t i = begin; i < end; i += kBagRows) {
    const Finish finish{i == begin, a.mean && i + kBagRows >= end, scale};
    switch (end - i) {
      case 1: add_rows<1, weighted>(rows, a, i, finish, out); break;
      case 2: add_rows<2, weighted>(rows, a, i, finish, out); break;
      case 3: add_rows<3, weighted>(rows, a, i, finish, out); break;
      default: add_rows<kBagRows, weighted>(rows, a, i, finish, out);
    }
  }
}

template <class Rows>
void add_bags(const Rows& rows, const EmbedBagArgs& a) {
  for (int64_t b = a.bag_begin; b < a.bag_end; ++b) {
    const int64_t begin = a.indptr[b], end = a.indptr[b + 1];
    float* out = a.out.row(b);
    if (begin == end)
      for_columns(a.table.cols, [&](int64_t c, int lanes) { write(out + c, zero(), lanes); });
    else if (a.weights)
      add_bag<true>(rows, a, begin, end, out);
    else
      add_bag<false>(rows, a, begin, end, out);
  }
}

}  // namespace

void embed_bag(const EmbedBagArgs& a) noexcept {
  visit_rows(a.table, [&](const auto& rows) { add_bags(rows, a); });
}

}  // namespace lowbit::LOWBIT_ISA
