// Rows of an embedding table, summed with positions and segment types; and the table's rounding.
#include "kernels/table_args.hpp"
#include "kernels/table_rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Rows as they are, to `write_row`(out, values, lanes).
template <class Rows, class Write>
inline void copy_rows(const Rows& rows, const EmbedArgs& a, Write&& write_row) {
  const int64_t last = a.id_count - 1;
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const int64_t ahead[] = {a.ids[r + kRowsAhead < last ? r + kRowsAhead : last]};
    float* out = a.out.row(r);
    typename Rows::Row row;
    rows.find(a.ids[r], row);
    for_lines(rows, ahead, a.word.cols, [&](int64_t c, int lanes) {
      write_row(out + c, rows.read(row, c, lanes), lanes);
    });
  }
}

// Added in the order of BERT: word and type first.
template <class Rows>
void add_rows(const Rows& rows, const EmbedArgs& a) {
  const int64_t last = a.id_count - 1;
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const int64_t ahead[] = {a.ids[r + kRowsAhead < last ? r + kRowsAhead : last]};
    const float* position = a.position ? a.position.row(a.position_ids[r]) : nullptr;
    const float* type = a.type ? a.type.row(a.type_ids[r]) : nullptr;
    float* out = a.out.row(r);
    typename Rows::Row row;
    rows.find(a.ids[r], row);
    for_lines(rows, ahead, a.word.cols, [&](int64_t c, int lanes) {
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
