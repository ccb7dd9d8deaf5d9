#include "tokenizers/decoder.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "core/error.hpp"
#include "tokenizers/byte_alphabet.hpp"

namespace lowbit::tokenizers {
namespace {

using Reach = DecodeStep::Reach;

// Ids below this many times the number of tokens are looked up in an array.
constexpr size_t kDense = 4;
// Tokens are copied in steps of so many bytes.
constexpr size_t kStep = 16;

}  // namespace

Decoder::Decoder(std::vector<std::string> tokens, const std::vector<int32_t>& ids,
                 const std::vector<bool>& special, std::vector<decoders::StepPointer> steps)
    : steps_(std::move(steps)) {
  check(tokens.size() == ids.size() && tokens.size() == special.size(), "Tokenizer: ",
        tokens.size(), " tokens but ", ids.size(), " ids");
  fold_steps(tokens);
  store(tokens, ids, special);
}

void Decoder::fold_steps(std::vector<std::string>& tokens) {
  size_t firsts = 0;
  for (; folded_ < steps_.size() && steps_[folded_]->reach() != Reach::others; ++folded_) {
    firsts += steps_[folded_]->reach() == Reach::first;
    lingers_ = std::max(lingers_, steps_[folded_]->lingers());
  }
  first_differs_ = firsts > 0;
  if (first_differs_) firsts_ = tokens;
  for (std::string& token : tokens) {
    std::vector<std::string> two{"", std::move(token)};
    for (size_t i = 0; i < folded_; ++i) steps_[i]->apply(two);
    token = std::move(two[1]);
  }
  last_ = folded_;
  for (; last_ < steps_.size(); ++last_) {
    const auto* join = dynamic_cast<const decoders::Join*>(steps_[last_].get());
    if (!join) break;
    bytes_ |= join->bytes();
    if (join->bytes()) {
      broken_ = join->broken();
      continue;
    }
    ++last_;
    break;
  }
  // Without steps tokens are put apart by spaces, which is nothing but a join either.
  joins_ = !steps_.empty() && (last_ == steps_.size() || last_ > folded_);
}

void Decoder::store(const std::vector<std::string>& tokens, const std::vector<int32_t>& ids,
                    const std::vector<bool>& special) {
  const size_t dense = kDense * tokens.size() + 1024;
  for (size_t i = 0; i < tokens.size(); ++i) {
    Token token{static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(tokens[i].size()), -1,
                true, special[i], static_cast<uint32_t>(i)};
    if (bytes_) token.byte = static_cast<int16_t>(fallback_byte(tokens[i], true));
    texts_ += tokens[i];
    check(texts_.size() < UINT32_MAX, "Tokenizer: the tokens together are longer than 4 GB");
    const auto id = static_cast<size_t>(static_cast<uint32_t>(ids[i]));
    if (id >= dense) {
      scattered_[ids[i]] = token;
      continue;
    }
    if (id >= tokens_.size()) tokens_.resize(id + 1);
    tokens_[id] = token;
  }
  texts_.append(2 * kStep, '\0');
}

const Decoder::Token& Decoder::scattered(int32_t id) const {
  const auto found = scattered_.find(id);
  check<RangeError>(found != scattered_.end(), "Tokenizer.decode: id ", id, " is no token");
  return found->second;
}

std::string Decoder::first(const Token& t) const {
  if (!first_differs_) return std::string(text(t));
  std::vector<std::string> one{firsts_[t.place]};
  for (size_t i = 0; i < folded_; ++i) steps_[i]->apply(one);
  return one[0];
}

bool Decoder::is_first_again(const Token& t, const std::string& made) const {
  if (lingers_ == DecodeStep::Lingers::never || !made.empty()) return false;
  return lingers_ == DecodeStep::Lingers::while_nothing_left || firsts_[t.place].empty();
}

// What the first tokens make, and in `begin` the place behind them.
std::string Decoder::join_first(const int32_t* ids, int64_t count, bool skip_special,
                                int64_t& begin) const {
  std::string out;
  for (bool is_first = true; is_first && begin < count; ++begin) {
    const Token& t = token(ids[begin]);
    if (skip_special && t.special) continue;
    if (t.byte >= 0) break;
    out = first(t);
    is_first = is_first_again(t, out);
  }
  return out;
}

// The text of tokens <0xXX> that follow each other from `at` on, which becomes the place behind.
std::string Decoder::join_bytes(const int32_t* ids, int64_t count, bool skip_special,
                                int64_t& at) const {
  std::string bytes, out;
  for (; at < count; ++at) {
    const Token& t = token(ids[at]);
    if (skip_special && t.special) continue;
    if (t.byte < 0) break;
    bytes += static_cast<char>(t.byte);
  }
  decoders::append_fallback(bytes, broken_, out);
  return out;
}

// Most tokens have at most 16 bytes; copying that many takes less than asking how many. A byte is
// written <0xXX>, which is longer than whatever becomes of it.
std::string Decoder::join(const int32_t* ids, int64_t count, bool skip_special) const {
  size_t size = 0;
  for (int64_t i = 0; i < count; ++i) size += token(ids[i]).length;
  int64_t begin = 0;
  std::string out = join_first(ids, count, skip_special, begin);
  const size_t head = out.size();
  out.resize(head + size + 2 * kStep);
  char* to = out.data() + head;
  const char* const texts = texts_.data();
  const std::span<const Token> tokens(tokens_);
  for (int64_t i = begin; i < count; ++i) {
    const auto at = static_cast<size_t>(ids[i]);
    const Token& t = at < tokens.size() && tokens[at].known ? tokens[at] : scattered(ids[i]);
    if (skip_special && t.special) continue;
    if (t.byte >= 0) [[unlikely]] {
      const std::string text = join_bytes(ids, count, skip_special, i);
      to = std::copy(text.begin(), text.end(), to);
      --i;
      continue;
    }
    const char* from = texts + t.begin;
    std::memcpy(to, from, kStep);
    if (t.length > kStep) std::memcpy(to + kStep, from + kStep, t.length - kStep);
    to += t.length;
  }
  out.resize(static_cast<size_t>(to - out.data()));
  return out;
}

std::string Decoder::decode_slowly(const int32_t* ids, int64_t count, bool skip_special) const {
  std::vector<std::string> parts;
  for (int64_t i = 0; i < count; ++i) {
    const Token& t = token(ids[i]);
    if (skip_special && t.special) continue;
    parts.push_back(parts.empty() ? first(t) : std::string(text(t)));
  }
  for (size_t step = folded_; step < steps_.size(); ++step) steps_[step]->apply(parts);
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && steps_.empty()) out += ' ';
    out += parts[i];
  }
  return out;
}

std::string Decoder::decode(const int32_t* ids, int64_t count, bool skip_special) const {
  if (!joins_) return decode_slowly(ids, count, skip_special);
  std::vector<std::string> one{join(ids, count, skip_special)};
  for (size_t step = last_; step < steps_.size(); ++step) steps_[step]->apply(one);
  return one.empty() ? "" : std::move(one[0]);
}

}  // namespace lowbit::tokenizers
