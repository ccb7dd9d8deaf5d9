#include "tokenizers/bpe_chunks.hpp"

#include <algorithm>

namespace lowbit::tokenizers {
namespace {

constexpr size_t kChunk = 24;  // atoms
constexpr size_t kMaxChunk = 512;

}  // namespace

size_t merge_in_chunks(const Merges& merges, const Splits& splits, Part* parts, size_t count) {
  struct Token {
    uint32_t symbol, begin, end;  // in atoms
  };
  std::vector<Token> tokens;
  Part chunk[kMaxChunk];
  size_t begin = 0, end = std::min(count, kChunk), steps_back = 1;
  for (;;) {
    if (end - begin > kMaxChunk) return 0;
    for (size_t i = begin; i < end; ++i) {
      const auto atom = static_cast<int32_t>(i);
      chunk[i - begin] = {0, parts[i].symbol, atom, atom + 1};
    }
    rank_parts(merges, chunk, end - begin);
    const size_t merged = merge_short(merges, chunk, end - begin);
    if (!tokens.empty() && !splits.compatible(tokens.back().symbol, chunk[0].symbol)) {
      for (size_t i = 0; i < steps_back && !tokens.empty(); ++i, tokens.pop_back())
        begin = tokens.back().begin;
      steps_back *= 2;
      continue;
    }
    steps_back = 1;
    for (size_t i = 0; i < merged; ++i)
      tokens.push_back({chunk[i].symbol, static_cast<uint32_t>(chunk[i].begin),
                        static_cast<uint32_t>(chunk[i].end)});
    if (end == count) break;
    // The last token was probably cut short, so that the next chunk starts with it.
    begin = merged > 1 ? tokens.back().begin : end;
    if (merged > 1) tokens.pop_back();
    end = std::min(count, end + kChunk);
  }
  for (size_t i = 0; i < tokens.size(); ++i)
    parts[i] = {Merges::kNone, tokens[i].symbol, parts[tokens[i].begin].begin,
                parts[tokens[i].end - 1].end};
  return tokens.size();
}

}  // namespace lowbit::tokenizers
