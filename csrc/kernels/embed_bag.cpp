// Sums and means of rows of an embedding table. Gradients are such sums, too: ops/row_gradient.cpp.
#include "kernels/table_args.hpp"
#include "kernels/table_rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Rows that are added for some columns, whose sums stay in registers, before the next columns:
// memory gives lines of as many rows in turn faster than those of a few.
constexpr int64_t kBagRows = 32;

// Rows of a bag, and what becomes of their sum.
struct Part {
  int64_t begin, end;  // of the ids
  bool begins;         // the sum is that of these rows alone
  bool streamed;       // it is whole then, and goes past the caches
  bool scaled;         // it is multiplied by `scale`
  float scale;
};

// 16 columns for each vector, beginning at a multiple of as many; or fewer, the last of a row.
template <int vectors, bool whole>
struct Columns {
  static constexpr int64_t kCount = vectors * kLanes;
  int64_t begin, end;
  int lanes() const { return whole ? kLanes : static_cast<int>(end - begin); }
};

// Asks for the lines that begin with one of the columns.
template <class Rows, int vectors, bool whole>
[[gnu::always_inline]] inline void ask_ahead(const Rows& rows, const EmbedBagArgs& a, int64_t i,
                                             const Columns<vectors, whole>& columns) {
  constexpr int64_t kLine = Rows::kLineColumns;
  const Ahead ahead(Rows::kBagAhead, a.ids, a.id_count, i);
  if (columns.begin == 0) ask_for_ends(rows, ahead);
  if (columns.kCount < kLine && columns.begin % kLine) return;
#pragma GCC unroll 4
  for (int64_t c = 0; c < columns.kCount; c += kLine) ask_for_line(rows, ahead, columns.begin + c);
}

template <bool weighted, int vectors, bool whole, class Rows>
[[gnu::always_inline]] inline void add_part(const Rows& rows, const EmbedBagArgs& a,
                                            const Part& part,
                                            const Columns<vectors, whole>& columns, float* out) {
  F32 sum[vectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v)
    sum[v] = part.begins ? zero() : read(out + v * kLanes, columns.lanes());
  for (int64_t i = part.begin; i < part.end; ++i) {
    ask_ahead(rows, a, i, columns);
    typename Rows::Row row;
    rows.find(a.ids[i], row);
    const F32 weight = weighted ? set1(a.weights[i]) : zero();
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const F32 values = rows.read(row, columns.begin + v * kLanes, columns.lanes());
      sum[v] = weighted ? fma(weight, values, sum[v]) : sum[v] + values;
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const F32 result = part.scaled ? sum[v] * set1(part.scale) : sum[v];
    if (part.streamed)
      stream(out + v * kLanes, result);
    else
      write(out + v * kLanes, result, columns.lanes());
  }
}

// Bags [begin, end): as many short ones as have kBagRows ids together, or a long one.
struct Group {
  int64_t begin, end;
};

inline Group group_from(const EmbedBagArgs& a, int64_t bag) {
  int64_t end = bag + 1;
  while (end < a.bag_end && a.indptr[end + 1] - a.indptr[bag] <= kBagRows) ++end;
  return {bag, end};
}

// What the ids [begin, end) of a group give to one of its bags.
[[gnu::always_inline]] inline Part part_of(const EmbedBagArgs& a, int64_t bag, int64_t begin,
                                           int64_t end) {
  const int64_t first = a.indptr[bag], last = a.indptr[bag + 1];
  const bool begins = first >= begin, ends = last <= end;
  const bool scaled = a.mean && ends && first < last;
  return {begins ? first : begin,
          ends ? last : end,
          begins,
          a.stream && begins && ends,
          scaled,
          scaled ? 1.0f / static_cast<float>(last - first) : 1.0f};
}

// Some columns of the ids [begin, end) of a group.
template <bool weighted, int vectors, bool whole, class Rows>
void add_columns(const Rows& rows, const EmbedBagArgs& a, const Group& group, int64_t begin,
                 int64_t end, const Columns<vectors, whole>& columns) {
  for (int64_t bag = group.begin; bag < group.end; ++bag)
    add_part<weighted>(rows, a, part_of(a, bag, begin, end), columns,
                       a.out.row(bag) + columns.begin);
}

// The columns from `column` on: `vectors` at a time, the rest in halves of that.
template <bool weighted, int vectors, class Rows>
void add_ids(const Rows& rows, const EmbedBagArgs& a, const Group& group, int64_t begin,
             int64_t end, int64_t column) {
  const int64_t cols = a.table.cols;
  for (; column + vectors * kLanes <= cols; column += vectors * kLanes)
    add_columns<weighted>(rows, a, group, begin, end, Columns<vectors, true>{column, cols});
  if constexpr (vectors > 1)
    add_ids<weighted, vectors / 2>(rows, a, group, begin, end, column);
  else if (column < cols)
    add_columns<weighted>(rows, a, group, begin, end,
                          Columns<1, false>{column, cols});
}

template <bool weighted, class Rows>
void add_group(const Rows& rows, const EmbedBagArgs& a, const Group& group) {
  const int64_t last = a.indptr[group.end];
  int64_t i = a.indptr[group.begin];
  do {
    const int64_t end = i + kBagRows < last ? i + kBagRows : last;
    add_ids<weighted, Rows::kBagVectors>(rows, a, group, i, end, 0);
    i = end;
  } while (i < last);
}

template <class Rows>
void add_bags(const Rows& rows, const EmbedBagArgs& a) {
  for (int64_t bag = a.bag_begin; bag < a.bag_end;) {
    const Group group = group_from(a, bag);
    if (a.weights)
      add_group<true>(rows, a, group);
    else
      add_group<false>(rows, a, group);
    bag = group.end;
  }
  if (a.stream) stream_fence();
}

}  // namespace

void embed_bag(const EmbedBagArgs& a) noexcept {
  visit_rows(a.table, [&](const auto& rows) { add_bags(rows, a); });
}

}  // namespace lowbit::LOWBIT_ISA
