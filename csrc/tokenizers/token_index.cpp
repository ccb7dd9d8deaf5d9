#include "tokenizers/token_index.hpp"

#include <algorithm>
#include <bit>

#include "core/error.hpp"

namespace lowbit::tokenizers {

TokenIndex::TokenIndex(const std::vector<std::string>& tokens) {
  size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  check(bytes < kNone && tokens.size() < kNone, "tokenizer: the vocabulary has ", tokens.size(),
        " tokens of ", bytes, " bytes, at most 4 GB fit");
  bytes_.reserve(bytes);
  begins_.reserve(tokens.size() + 1);
  const size_t slots = std::bit_ceil(std::max<size_t>(16, 2 * tokens.size()));
  slots_.resize(slots);
  mask_ = slots - 1;
  shift_ = 64 - std::countr_zero(slots);
  begins_.push_back(0);
  for (uint32_t number = 0; number < tokens.size(); ++number) {
    const std::string& token = tokens[number];
    bytes_ += token;
    begins_.push_back(static_cast<uint32_t>(bytes_.size()));
    const uint64_t hash = hash_bytes(token);
    const auto tag = static_cast<uint32_t>(hash >> 16);
    size_t at = hash >> shift_;
    while (slots_[at].number != kNone &&
           (slots_[at].tag != tag || text(slots_[at].number) != token))
      at = (at + 1) & mask_;
    equal_ = equal_ || slots_[at].number != kNone;
    slots_[at] = {number, tag};
  }
}

}  // namespace lowbit::tokenizers
