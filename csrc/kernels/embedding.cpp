// Rows of an embedding table, summed with positions and segment types; and the table's rounding.
#include "kernels/table_args.hpp"
#include "kernels/table_rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Calls use(column, lanes) for 16 columns at a time of the i-th row, and asks for those that follow
// a line at a time: all of a row at once would wait for each other.
template <class Rows, class Use>
[[gnu::always_inline]] inline void for_lines(const Rows& rows, const EmbedArgs& a, int64_t i,
                                             Use&& use) {
  constexpr int64_t kLine = Rows::kLineColumns;
  // A read of it for each line, between streaming stores, makes float32 half as slow again.
  const int64_t columns = a.word.cols;
  const Ahead ahead(Rows::kAhead, a.ids, a.id_count, i);
  ask_for_ends(rows, ahead);
  for (int64_t c = 0; c < columns; c += kLine) {
    ask_for_line(rows, ahead, c);
    const int64_t left = columns - c;
    if (kLine > 32 && left >= kLine)  // a loop for two would cost more
#pragma GCC unroll 8
      for (int64_t k = 0; k < kLine; k += kLanes) use(c + k, kLanes);
    else
      for_columns(left < kLine ? left : kLine, [&](int64_t k, int n) { use(c + k, n); });
  }
}

// Rows as they are, to `write_row`(out, values, lanes).
template <class Rows, class Write>
inline void copy_rows(const Rows& rows, const EmbedArgs& a, Write&& write_row) {
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    float* out = a.out.row(r);
    typename Rows::Row row;
    rows.find(a.ids[r], row);
    for_lines(rows, a, r, [&](int64_t c, int lanes) {
      write_row(out + c, rows.read(row, c, lanes), lanes);
    });
  }
}

// Added in the order of BERT: word and type first.
template <class Rows>
void add_rows(const Rows& rows, const EmbedArgs& a) {
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float* position = a.position ? a.position.row(a.position_ids[r]) : nullptr;
    const float* type = a.type ? a.type.row(a.type_ids[r]) : nullptr;
    float* out = a.out.row(r);
    typename Rows::Row row;
    rows.find(a.ids[r], row);
    for_lines(rows, a, r, [&](int64_t c, int lanes) {
      F32 sum = rows.read(row, c, lanes);
      if (type) sum = sum + read(type + c, lanes);
      if (position) sum = sum + read(position + c, lanes);
      write(out + c, sum, lanes);
    });
  }
}

}  // namespace

void embed(const EmbedArgs& a) noexcept {
  visit_rows(a.word, [&](const auto& rows) {
    if (a.position || a.type) return add_rows(rows, a);
    if (!a.stream) return copy_rows(rows, a, [](float* p, F32 v, int n) { write(p, v, n); });
    copy_rows(rows, a, [](float* p, F32 v, int) { stream(p, v); });
    stream_fence();
  });
}

void quantize_rows(const QuantizeRowsArgs& a) noexcept {
  const int64_t columns = a.source.cols;
  const Int8 format;
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float* row = a.source.row(r);
    F32 top = zero();
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int lanes = static_cast<int>(columns - c < kLanes ? columns - c : kLanes);
      top = max(top, abs(load_first(row + c, lanes)));
    }
    const F32 extreme = set1(reduce_max(top));
    store_first(a.scales + r, Int8::scale(extreme), 1);
    const F32 inverse = Int8::inverse(extreme);
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int lanes = static_cast<int>(columns - c < kLanes ? columns - c : kLanes);
      int32_t codes[kLanes];
      store_i32(codes, format.encode(load_first(row + c, lanes), inverse));
      for (int i = 0; i < lanes; ++i) a.codes[r * columns + c + i] = static_cast<int8_t>(codes[i]);
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
