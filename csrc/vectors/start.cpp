#include "vectors/start.hpp"

#include "core/error.hpp"
#include "core/threads.hpp"
#include "vectors/sampling.hpp"

namespace lowbit::vectors {

void start_vectors(MatrixView<float> table, int64_t dim, uint64_t seed, int64_t row_begin) {
  check(dim >= 1 && dim <= table.cols, "WordVectors.train: dim=", dim, " of ", table.cols,
        " columns");
  check(row_begin >= 0 && row_begin <= table.rows, "WordVectors.train: row ", row_begin, " of ",
        table.rows);
  const uint64_t key = stream_key(seed, uint64_t{1} << 63);
  const float scale = 1.0f / static_cast<float>(dim);
  parallel_for(table.rows - row_begin, 256, [&](int64_t begin, int64_t end) {
    for (int64_t r = row_begin + begin; r < row_begin + end; ++r) {
      float* row = table.row(r);
      for (int64_t c = 0; c < table.cols;) {
        const auto place = static_cast<uint64_t>(r * dim + c);
        const Philox block(key, place / 4);
        for (auto lane = place % 4; lane < 4 && c < table.cols; ++lane, ++c) {
          const float unit = static_cast<float>(block.word[lane] >> 8) * 0x1p-23f;
          row[c] = c < dim ? (unit - 1.0f) * scale : 0.0f;
        }
      }
    }
  });
}

}  // namespace lowbit::vectors
