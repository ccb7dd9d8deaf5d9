// Every operation on every instruction set that runs here, against scalar: all bits equal. Needs no
// Python, so it runs under an emulator of another processor too (tools/test_neon.sh). Prints one
// digest per operation: those of two kinds of processor can be compared.
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/random.hpp"
#include "ops/activation.hpp"
#include "ops/attention.hpp"
#include "ops/dispatch.hpp"
#include "ops/embedding.hpp"
#include "ops/int4_rows.hpp"
#include "ops/int8_rounding.hpp"
#include "ops/convert.hpp"
#include "ops/linear.hpp"
#include "ops/neighbours.hpp"
#include "ops/normalization.hpp"
#include "ops/optimizer.hpp"
#include "ops/packed_matrix.hpp"
#include "ops/pooling.hpp"
#include "ops/positions.hpp"
#include "ops/row_gradient.hpp"
#include "ops/row_optimizer.hpp"
#include "simd_probe.hpp"

namespace lowbit {
namespace {

using Bytes = std::vector<uint8_t>;
using Results = std::map<std::string, Bytes>;  // operation -> all its outputs

template <class T>
void keep(Bytes& bytes, const T* data, int64_t count) {
  const auto* first = reinterpret_cast<const uint8_t*>(data);
  bytes.insert(bytes.end(), first, first + count * static_cast<int64_t>(sizeof(T)));
}

// A matrix of random values of roughly normal size, a function of its seed alone.
struct Matrix {
  Matrix(int64_t rows, int64_t cols)
      : data(static_cast<size_t>(rows * cols)), rows(rows), cols(cols) {}
  static Matrix random(uint64_t seed, int64_t rows, int64_t cols) {
    Matrix m(rows, cols);
    for (size_t i = 0; i < m.data.size(); ++i) {
      const Philox block(seed, i);
      int64_t sum = 0;
      for (uint32_t word : block.word) sum += static_cast<int32_t>(word);
      m.data[i] = static_cast<float>(sum) * 0x1p-30f;
    }
    return m;
  }
  MatrixView<float> view() { return {data.data(), rows, cols}; }
  VectorView<float> flat() { return {data.data(), rows * cols}; }
  void keep_in(Bytes& bytes) const { keep(bytes, data.data(), rows * cols); }

  std::vector<float> data;
  int64_t rows, cols;
};

void run_probe(Results& results) {
  std::vector<float> any, finite;
  const float infinity = std::numeric_limits<float>::infinity();
  const float special[16] = {0.0f, -0.0f, infinity, -infinity, std::nanf(""), -std::nanf(""), 0.5f,
                             1.5f, 2.5f, -2.5f, 2147483648.0f, -2147483648.0f, 1e-40f, 3e9f, 1.0f,
                             16777217.0f};
  any.assign(special, special + 16);
  finite = {0.0f, -0.0f, 1e-40f, -1e-40f, 88.0f, -88.0f, 87.5f, -87.5f,
            4.0f, -4.0f, 0.93f,  -0.93f,  1e-9f, 100.0f, -100.0f, 0.5f};
  for (uint64_t i = 0; i < 62 * 16; ++i) {
    const Philox block(1, i);
    float value;
    std::memcpy(&value, block.word, sizeof value);  // any bits at all
    any.push_back(value);
    finite.push_back(static_cast<float>(static_cast<int32_t>(block.word[1])) * 0x1p-26f);
  }
  const int64_t count = static_cast<int64_t>(any.size());
  Bytes out(static_cast<size_t>(simd_probe_bytes(count)));
  const SimdProbe probe{any.data(), finite.data(), count, out.data()};
  const std::string isa = ops::active_isa();
  int64_t written = 0;
#if LOWBIT_HAVE_scalar
  if (isa == "scalar") written = scalar::simd_probe(probe);
#endif
#if LOWBIT_HAVE_avx2
  if (isa == "avx2") written = avx2::simd_probe(probe);
#endif
#if LOWBIT_HAVE_avx512
  if (isa == "avx512") written = avx512::simd_probe(probe);
#endif
#if LOWBIT_HAVE_amx
  if (isa == "amx") written = amx::simd_probe(probe);
#endif
#if LOWBIT_HAVE_neon_i8mm
  if (isa == "neon_i8mm") written = neon_i8mm::simd_probe(probe);
#endif
#if LOWBIT_HAVE_neon_dot
  if (isa == "neon_dot") written = neon_dot::simd_probe(probe);
#endif
#if LOWBIT_HAVE_neon
  if (isa == "neon") written = neon::simd_probe(probe);
#endif
  if (written != std::ssize(out)) {
    std::printf("simd_probe of %s wrote %lld bytes, simd_probe_bytes says %lld\n", isa.c_str(),
                static_cast<long long>(written), static_cast<long long>(std::ssize(out)));
    std::exit(1);
  }
  results["simd"] = out;
}

void run_weight(Results& results, const WeightView& w, uint64_t seed) {
  Matrix floats(w.rows, w.cols);
  ops::dequantize(w, floats.view());
  floats.keep_in(results["dequantize"]);
  for (int64_t tokens : {1, 7, 50}) {  // the last rows of 4: 1, 3 and 2
    Matrix x = Matrix::random(seed + 1, tokens, w.cols);
    Matrix dy = Matrix::random(seed + 2, tokens, w.rows);
    Matrix a = Matrix::random(seed + 3, 5, w.cols), b = Matrix::random(seed + 4, w.rows, 5);
    Matrix bias = Matrix::random(seed + 5, 1, w.rows), y(tokens, w.rows), xa(tokens, 5);
    Matrix dx(tokens, w.cols), da(5, w.cols), db(w.rows, 5);
    const ops::LowRank lora{a.view(), b.view(), 0.5f, {0.1f, 7, 4}};
    for (const std::string compute : {"fp32", "int16"}) {
      ops::linear_forward(x.view(), w, bias.flat(), dy.view(), lora, y.view(), xa.view(), compute);
      for (const Matrix* m : {&y, &xa}) m->keep_in(results["linear " + compute]);
      ops::linear_backward(dy.view(), x.view(), xa.view(), w, lora,
                           {dx.view(), x.view(), da.view(), db.view()}, compute);
      for (const Matrix* m : {&dx, &da, &db}) m->keep_in(results["linear_backward " + compute]);
    }
    if (!ops::format_info(w.format).packed) continue;
    for (const Int8Rounding& rounding :
         {ops::choose_rounding("test", "block"), ops::choose_rounding("test", "row"),
          ops::choose_rounding("test", ops::AffineCodes{0.02f, 0, -127, 127}),
          ops::choose_rounding("test", ops::AffineCodes{0.02f, 190, 0, 254})}) {
      ops::linear_forward(x.view(), w, bias.flat(), {}, lora, y.view(), xa.view(), "int8",
                          rounding);
      y.keep_in(results["linear int8"]);
    }
  }
}

void run_linear(Results& results) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {17, 33}, {70, 100}, {33, 400}}) {
    Matrix w = Matrix::random(11, rows, cols);
    for (const ops::FormatInfo& info : ops::formats()) {
      if (!info.packed) continue;
      std::vector<ops::Storage> kinds = {{info.name}, {info.name, 32, true}};
      if (info.format != Format::mxfp4) kinds.push_back({info.name, 16, false, "fp16"});
      if (info.zero_points) kinds.push_back({info.name, 64, false, "bf16", false});
      for (const ops::Storage& kind : kinds) {
        const ops::PackedMatrix m = ops::quantize(w.view(), kind);
        Bytes& bytes = results["quantize"];
        keep(bytes, m.lines.get(), m.line_bytes);
        keep(bytes, m.scales.data(), std::ssize(m.scales));
        keep(bytes, m.zeros.data(), std::ssize(m.zeros));
        run_weight(results, m.view(), 20);
      }
    }
    run_weight(results, dense_weight(w.data.data(), rows, cols, cols), 30);
    std::vector<uint16_t> words(w.data.size());
    ops::from_float32("bf16", {w.data.data(), std::ssize(w.data)},
                      {words.data(), std::ssize(words)});
    WeightView half;
    half.format = Format::bf16;
    half.rows = rows, half.cols = cols, half.stride = cols, half.data = words.data();
    run_weight(results, half, 40);
  }
}

void run_rows(Results& results) {
  for (int64_t cols : {1, 17, 384}) {
    const int64_t rows = 33;
    Matrix x = Matrix::random(1, rows, cols), residual = Matrix::random(2, rows, cols);
    Matrix gamma = Matrix::random(3, 1, cols), beta = Matrix::random(4, 1, cols);
    Matrix y(rows, cols), h(rows, cols), mean(1, rows), rstd(1, rows), dh(rows, cols);
    ops::layer_norm(x.view(), residual.view(), gamma.flat(), beta.flat(), 1e-12f, y.view(),
                    h.view(), mean.flat(), rstd.flat());
    ops::layer_norm_backward(x.view(), h.view(), mean.flat(), rstd.flat(), gamma.flat(), dh.view());
    for (const Matrix* m : {&y, &h, &mean, &rstd}) m->keep_in(results["layer_norm"]);
    dh.keep_in(results["layer_norm_backward"]);

    ops::activation("gelu", x.flat(), y.flat());
    y.keep_in(results["gelu"]);
    ops::activation_backward("gelu", residual.flat(), x.flat(), dh.flat());
    dh.keep_in(results["gelu_backward"]);

    const int64_t indptr[] = {0, 1, 1, 33};
    for (const char* mode : {"mean", "sum", "cls"}) {
      Matrix out(3, cols);
      ops::pool(x.view(), {indptr, 4}, mode, out.view());
      out.keep_in(results["pool"]);
    }
    Matrix m(rows, cols), v(rows, cols);
    for (int64_t step : {1, 2})
      ops::adamw(y.flat(), x.flat(), m.flat(), v.flat(), {1e-3, 0.9, 0.999, 1e-8, 0.01, step, 0.5});
    for (const Matrix* state : {&y, &m, &v}) state->keep_in(results["adamw"]);
  }
}

void run_bags(Results& results, Matrix& table, const std::vector<int32_t>& ids) {
  const int64_t indptr[] = {0, 1, 1, 3, 6, 10, 15, 50}, cols = table.cols;
  const ops::Bags bags{{ids.data(), nullptr, 50}, {indptr, 8}, {}, "mean"};
  const ops::Int4Rows int4 = ops::int4_rows(ops::quantize(table.view(), {"int4", 16, false}));
  Matrix out(7, cols), moments(40, cols), squares(40, cols);
  for (const TableView& t : {TableView{Format::fp32, 40, cols, table.data.data()}, int4.view()}) {
    ops::embed_bag(t, bags, out.view());
    out.keep_in(results["embed_bag"]);
  }
  const ops::RowGradient g = ops::embed_bag_backward(out.view(), bags, 40);
  const ops::RowUpdate update{table.view(), {g.rows.get(), g.count},
                              {g.values.get(), g.count, cols}};
  ops::sgd_rows(update, moments.view(), 0.1, 0.9);
  ops::adagrad_rows(update, squares.view(), 0.1, 1e-10);
  table.keep_in(results["sgd"]), squares.keep_in(results["adagrad"]);
}

void run_embed(Results& results) {
  for (int64_t cols : {1, 17, 64}) {
    Matrix table = Matrix::random(5, 40, cols), position = Matrix::random(6, 9, cols);
    std::vector<int8_t> codes(table.data.size());
    std::vector<uint16_t> words(table.data.size());
    std::vector<float> scales(40);
    ops::quantize_rows_int8(table.view(), codes.data(), scales.data());
    ops::from_float32("bf16", {table.data.data(), std::ssize(table.data)},
                        {words.data(), std::ssize(words)});
    Bytes& bytes = results["quantize_rows"];
    keep(bytes, codes.data(), std::ssize(codes));
    keep(bytes, words.data(), std::ssize(words));
    keep(bytes, scales.data(), std::ssize(scales));
    std::vector<int32_t> ids, at;
    for (int32_t i = 0; i < 50; ++i) ids.push_back(i * 7 % 40), at.push_back(i % 9);
    const ops::Lookup positions{position.view(), {at.data(), 50}};
    for (const TableView& t : {TableView{Format::fp32, 40, cols, table.data.data(), nullptr},
                               TableView{Format::bf16, 40, cols, words.data(), nullptr},
                               TableView{Format::int8, 40, cols, codes.data(), scales.data()}}) {
      Matrix out(50, cols);
      ops::embed(t, {ids.data(), nullptr, 50}, positions, {}, out.view());
      out.keep_in(results["embed"]);
    }
    run_bags(results, table, ids);
  }
}

void run_rotary(Results& results) {
  for (const auto& [tokens, heads, pairs] : {std::array{1, 1, 1}, {5, 3, 20}, {40, 2, 64}}) {
    const int64_t dim = 2 * pairs + 1, cols = heads * dim;
    Matrix x = Matrix::random(1, tokens, cols);
    Matrix cos = Matrix::random(2, tokens, pairs), sin = Matrix::random(3, tokens, pairs);
    std::vector<uint16_t> words(x.data.size());
    Bytes& bytes = results["rotary"];
    for (int bits = 0; bits < 8; ++bits) {
      const ops::Rotation rotation{cos.view(), sin.view(), (bits & 1) != 0, (bits & 2) != 0,
                                   (bits & 4) != 0};
      ops::from_float32("bf16", x.flat(), {words.data(), std::ssize(words)});
      ops::rotate("bf16", {{words.data(), 1, tokens, heads, dim, 0, cols, dim}}, rotation);
      ops::rotate("fp32", {{x.data.data(), 1, tokens, heads, dim, 0, cols, dim}}, rotation);
      keep(bytes, words.data(), std::ssize(words));
      x.keep_in(bytes);
    }
  }
}

void run_neighbours(Results& results) {
  constexpr int64_t k = 7;
  for (const auto& [rows, cols] : {std::pair{40, 3}, {700, 41}}) {
    Matrix table = Matrix::random(1, rows, cols);
    for (const char* metric : {"dot", "cosine", "euclidean"})
      for (const char* format : {"fp32", "int8"}) {
        const ops::NeighbourTable neighbours(table.view(), metric, format);
        for (int64_t count : {1, 5, 40}) {
          Matrix queries = Matrix::random(2, count, cols), scores(count, k);
          std::vector<int64_t> found(static_cast<size_t>(count * k));
          ops::nearest(neighbours, queries.view(), k, rows, scores.view(),
                       {found.data(), count, k});
          scores.keep_in(results["nearest"]);
          keep(results["nearest"], found.data(), count * k);
        }
      }
  }
}

void run_attention(Results& results) {
  const int64_t indptr[] = {0, 1, 1, 18, 67, 600}, rows = 600;  // the last is two blocks of keys
  for (const auto& [heads, dim] : {std::pair{1, 7}, {3, 32}, {2, 40}}) {
    const int64_t cols = heads * dim;
    Matrix q = Matrix::random(1, rows, cols), k = Matrix::random(2, rows, cols);
    Matrix v = Matrix::random(3, rows, cols), dout = Matrix::random(4, rows, cols);
    Matrix out(rows, cols), lse(rows, heads), dq(rows, cols), dk(rows, cols), dv(rows, cols);
    for (const bool causal : {false, true}) {
      const ops::AttentionInputs in{q.view(), k.view(), v.view(), heads, {indptr, 6}, {0.2f, 9, 8},
                                    causal};
      ops::attention(in, out.view(), lse.view());
      ops::attention_backward(in, dout.view(), out.view(), lse.view(),
                              {dq.view(), dk.view(), dv.view()});
      out.keep_in(results["attention"]), lse.keep_in(results["attention"]);
      for (const Matrix* m : {&dq, &dk, &dv}) m->keep_in(results["attention_backward"]);
    }
  }
}

Results run_all(const std::string& isa) {
  ops::use_isa(isa);
  Results results;
  run_probe(results);
  run_linear(results);
  run_rows(results);
  run_embed(results);
  run_rotary(results);
  run_neighbours(results);
  run_attention(results);
  return results;
}

// Tiles round both operands, so their results have no twin in scalar code: every element must lie
// near the fp32 one. The exact rounding is tested in tests/test_tiles.py.
int check_tiles(const std::string& isa, int64_t tokens, int64_t rows, int64_t cols) {
  Matrix x = Matrix::random(1, tokens, cols), w = Matrix::random(2, rows, cols);
  Matrix dy = Matrix::random(3, tokens, rows);
  Matrix exact(tokens, rows), rounded(tokens, rows), dx(tokens, cols), dx_rounded(tokens, cols);
  const WeightView weight = dense_weight(w.data.data(), rows, cols, cols);
  ops::linear_forward(x.view(), weight, {}, {}, {}, exact.view(), {}, "fp32");
  ops::linear_forward(x.view(), weight, {}, {}, {}, rounded.view(), {}, "bf16");
  ops::linear_backward(dy.view(), {}, {}, weight, {}, {dx.view(), {}, {}, {}}, "fp32");
  ops::linear_backward(dy.view(), {}, {}, weight, {}, {dx_rounded.view(), {}, {}, {}}, "bf16");
  const auto near = [](const Matrix& one, const Matrix& other, int64_t depth) {
    // Products are about 5, each off by about 2^-9 of itself, in either direction.
    const float bound = 0.25f + 0.125f * std::sqrt(static_cast<float>(depth));
    for (size_t i = 0; i < one.data.size(); ++i)
      if (!(std::fabs(one.data[i] - other.data[i]) <= bound)) return false;
    return true;
  };
  if (near(exact, rounded, cols) && near(dx, dx_rounded, rows)) return 0;
  std::printf("FAIL bf16 tiles on %s: %lld x %lld x %lld\n", isa.c_str(),
              static_cast<long long>(tokens), static_cast<long long>(rows),
              static_cast<long long>(cols));
  return 1;
}

int check_all_tiles() {
  int failures = 0;
  for (const std::string& isa : ops::isas()) {
    ops::use_isa(isa);
    if (!ops::kernels().matmul_tiles) continue;
    for (int64_t tokens : {1, 16, 33, 70})
      for (int64_t rows : {1, 17, 80})
        for (int64_t cols : {1, 32, 100, 600}) failures += check_tiles(isa, tokens, rows, cols);
    std::printf("%s: bf16 tiles\n", isa.c_str());
  }
  return failures;
}

// FNV-1a.
uint64_t digest(const Bytes& bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

int compare() {
  const Results expected = run_all("scalar");
  int failures = 0;
  for (const std::string& isa : ops::isas()) {
    const Results got = run_all(isa);
    for (const auto& [operation, bytes] : expected) {
      const Bytes& other = got.at(operation);
      size_t at = 0;
      while (at < bytes.size() && at < other.size() && bytes[at] == other[at]) ++at;
      if (bytes.size() == other.size() && at == bytes.size()) continue;
      std::printf("FAIL %s on %s: byte %zu of %zu differs\n", operation.c_str(), isa.c_str(), at,
                  bytes.size());
      ++failures;
    }
    std::printf("%s: %zu operations\n", isa.c_str(), expected.size());
  }
  for (const auto& [operation, bytes] : expected)
    std::printf("digest %-20s %016llx\n", operation.c_str(),
                static_cast<unsigned long long>(digest(bytes)));
  return failures;
}

}  // namespace
}  // namespace lowbit

int main() { return lowbit::compare() + lowbit::check_all_tiles() == 0 ? 0 : 1; }
