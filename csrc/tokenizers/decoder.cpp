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
// Tokens of at most so many bytes are copied as if they had as many: faster than asking how many.
constexpr size_t kStep = 16;
constexpr int64_t kRun = 256;     // tokens between two looks at the room left
constexpr size_t kExpected = 4;  // bytes of a token

}  // namespace

// A text being made: a string that is longer than what was written.
class Decoder::Output {
 public:
  explicit Output(std::string text) : text_(std::move(text)), size_(text_.size()) {}

  // Where `more` bytes may be written, and where the last one was.
  char* room(size_t more) {
    if (text_.size() < size_ + more) text_.resize(std::max(2 * text_.size(), size_ + more));
    return text_.data() + size_;
  }
  void wrote(const char* end) { size_ = static_cast<size_t>(end - text_.data()); }
  void append(std::string_view bytes) {
    wrote(std::copy(bytes.begin(), bytes.end(), room(bytes.size())));
  }
  std::string take() {
    text_.resize(size_);
    return std::move(text_);
  }

 private:
  std::string text_;
  size_t size_;
};

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
    if (id >= tokens_.size()) tokens_.resize(id + 1), shorts_.resize(id + 1);
    tokens_[id] = token;
    const bool is_short = token.length <= kStep && token.byte < 0 && !token.special;
    shorts_[id] = {token.begin, is_short ? token.length : kOther};
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

// Appends the text of tokens <0xXX> that follow each other from `at` on, which becomes the place
// behind them.
void Decoder::join_bytes(const int32_t* ids, int64_t count, bool skip_special, int64_t& at,
                         Output& out) const {
  std::string bytes, text;
  for (; at < count; ++at) {
    const Token& t = token(ids[at]);
    if (skip_special && t.special) continue;
    if (t.byte < 0) break;
    bytes += static_cast<char>(t.byte);
  }
  decoders::append_fallback(bytes, broken_, text);
  out.append(text);
}

void Decoder::join_one(const int32_t* ids, int64_t count, bool skip_special, int64_t& at,
                       Output& out) const {
  const Token& t = token(ids[at]);
  if (t.byte >= 0 && !(skip_special && t.special))
    return join_bytes(ids, count, skip_special, at, out);
  if (!(skip_special && t.special)) out.append(text(t));
  ++at;
}

std::string Decoder::join(const int32_t* ids, int64_t count, bool skip_special) const {
  int64_t at = 0;
  Output out(join_first(ids, count, skip_special, at));
  out.room(static_cast<size_t>(count) * kExpected);
  const char* const texts = texts_.data();
  const std::span<const Short> shorts(shorts_);
  while (at < count) {
    char* to = out.room(kRun * kStep);
    for (const int64_t end = std::min(count, at + kRun); at < end; ++at) {
      const auto id = static_cast<size_t>(static_cast<uint32_t>(ids[at]));
      if (id >= shorts.size() || shorts[id].length == kOther) [[unlikely]]
        break;
      std::memcpy(to, texts + shorts[id].begin, kStep);
      to += shorts[id].length;
    }
    out.wrote(to);
    if (at < count) join_one(ids, count, skip_special, at, out);
  }
  return out.take();
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
