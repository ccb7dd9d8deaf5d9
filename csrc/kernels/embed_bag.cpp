// Sums and means of rows of an embedding table. Gradients are such sums, too: ops/row_gradient.cpp.
#include "kernels/table_args.hpp"
#include "kernels/table_rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Rows that are added for some columns, whose sums stay in registers, before the next columns.
constexpr int64_t kBagRows = 32;

template <class Rows>
constexpr int64_t kBlock = Rows::kBagVectors * kLanes;

// Rows of a bag, and what becomes of their sum.
struct Part {
  int64_t begin, end;  // of the ids
  bool begins;         // the sum is that of these rows alone
  bool scaled;         // it is multiplied by `scale`
  F32 scale;
};

// Calls use(vector, lanes) for the columns of a block that are left.
template <int vectors, bool whole, class Use>
[[gnu::always_inline]] inline void for_vectors(int64_t left, Use&& use) {
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const int64_t lanes = whole ? kLanes : left - v * kLanes;
    if (lanes > 0) use(v, lanes < kLanes ? static_cast<int>(lanes) : kLanes);
  }
}

template <bool weighted, bool whole, class Rows>
[[gnu::always_inline]] inline void add_block(const Rows& rows, const EmbedBagArgs& a,
                                             const Part& part, int64_t column, float* out) {
  const int64_t left = a.table.cols - column;
  constexpr int vectors = Rows::kBagVectors;
  F32 sum[vectors];
  for_vectors<vectors, whole>(left, [&](int v, int lanes) {
    sum[v] = part.begins ? zero() : read(out + v * kLanes, lanes);
  });
  for (int64_t i = part.begin; i < part.end; ++i) {
    const Ahead ahead(Rows::kBagAhead, a.ids, a.id_count, i);
    if (column == 0) ask_for_ends(rows, ahead);
#pragma GCC unroll 4
    for (int64_t c = 0; c < kBlock<Rows>; c += Rows::kLineColumns)
      if ((column + c) % Rows::kLineColumns == 0 && (whole || c < left))
        ask_for_line(rows, ahead, column + c);
    typename Rows::Row row;
    rows.find(a.ids[i], row);
    const F32 weight = weighted ? set1(a.weights[i]) : zero();
    for_vectors<vectors, whole>(left, [&](int v, int lanes) {
      const F32 values = rows.read(row, column + v * kLanes, lanes);
      sum[v] = weighted ? fma(weight, values, sum[v]) : sum[v] + values;
    });
  }
  for_vectors<vectors, whole>(left, [&](int v, int lanes) {
    write(out + v * kLanes, part.scaled ? sum[v] * part.scale : sum[v], lanes);
  });
}

template <bool weighted, class Rows>
void add_bag(const Rows& rows, const EmbedBagArgs& a, int64_t begin, int64_t end, float* out) {
  const F32 scale = set1(a.mean ? 1.0f / static_cast<float>(end - begin) : 1.0f);
  for (int64_t i = begin; i < end; i += kBagRows) {
    const bool ends = i + kBagRows >= end;
    const Part part{i, ends ? end : i + kBagRows, i == begin, a.mean && ends, scale};
    int64_t c = 0;
    for (; c + kBlock<Rows> <= a.table.cols; c += kBlock<Rows>)
      add_block<weighted, true>(rows, a, part, c, out + c);
    if (c < a.table.cols) add_block<weighted, false>(rows, a, part, c, out + c);
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
