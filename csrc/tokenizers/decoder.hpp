// Tokens back to text, by the decoders of tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizers/pattern.hpp"

namespace lowbit::tokenizers {

// One decoder: changes the tokens of a text.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;

  // What the change of a token depends on: itself, whether it is the first one, or the others.
  enum class Reach { itself, first, others };
  virtual Reach reach() const { return Reach::others; }

  // The token behind the first one is a first one, too: never, if that one was empty when it came,
  // or if nothing is left of it.
  enum class Lingers { never, while_empty, while_nothing_left };
  virtual Lingers lingers() const { return Lingers::never; }
};

namespace decoders {

using StepPointer = std::unique_ptr<const DecodeStep>;

StepPointer byte_level();
StepPointer word_piece(std::string prefix, bool cleanup);
// `removed_first`: the first token's replacements are nothing instead of spaces.
StepPointer metaspace(std::string replacement, bool removed_first);
StepPointer bpe(std::string suffix);
StepPointer ctc(std::string pad, std::string delimiter, bool cleanup);
StepPointer replace(std::string literal, std::string content);
StepPointer replace(std::shared_ptr<const Pattern> pattern, std::string content);
StepPointer strip(std::string character, int64_t start, int64_t stop);

// Spaces for U+2581, as sentencepiece puts them: one at the beginning of the text is left out, and
// with `all` one at the beginning of every token until there is text.
StepPointer sentencepiece_spaces(bool all);

// What bytes that are not UTF-8 become: each a replacement character, or only those that are part
// of no character.
enum class Broken { all, some };

// Joins all tokens, and before that, with `bytes`, makes texts of tokens <0xXX> that follow each
// other.
class Join final : public DecodeStep {
 public:
  explicit Join(bool bytes, Broken broken = Broken::all) : bytes_(bytes), broken_(broken) {}
  void apply(std::vector<std::string>& tokens) const override;
  bool bytes() const { return bytes_; }
  Broken broken() const { return broken_; }

 private:
  bool bytes_;
  Broken broken_;
};
StepPointer byte_fallback(Broken broken);
StepPointer fuse();

// Appends bytes of tokens <0xXX> as a text.
void append_fallback(std::string_view bytes, Broken broken, std::string& out);

}  // namespace decoders

// Immutable, so any number of threads may use one.
class Decoder {
 public:
  // `special[i]`: tokens[i] can be left out. Without steps tokens are put apart by spaces.
  Decoder(std::vector<std::string> tokens, const std::vector<int32_t>& ids,
          const std::vector<bool>& special, std::vector<decoders::StepPointer> steps);

  // The text of `count` ids, as bytes that may not be valid UTF-8. ArgumentError at an id that is
  // no token.
  std::string decode(const int32_t* ids, int64_t count, bool skip_special) const;

 private:
  struct Token {
    uint32_t begin = 0, length = 0;  // in texts_
    int16_t byte = -1;               // of a token <0xXX>, when bytes are joined
    bool known = false, special = false;
    uint32_t place = 0;  // in firsts_
  };
  // What most tokens need and no more, so that those of a text fit into the second-level cache.
  struct Short {
    uint32_t begin = 0;        // in texts_
    uint32_t length = kOther;  // at most kStep
  };
  static constexpr uint32_t kOther = UINT32_MAX;
  class Output;
  void fold_steps(std::vector<std::string>& tokens);
  void store(const std::vector<std::string>& tokens, const std::vector<int32_t>& ids,
             const std::vector<bool>& special);
  const Token& token(int32_t id) const {
    const auto at = static_cast<size_t>(static_cast<uint32_t>(id));
    return at < tokens_.size() && tokens_[at].known ? tokens_[at] : scattered(id);
  }
  const Token& scattered(int32_t id) const;
  std::string_view text(const Token& t) const { return {texts_.data() + t.begin, t.length}; }
  std::string join(const int32_t* ids, int64_t count, bool skip_special) const;
  std::string join_first(const int32_t* ids, int64_t count, bool skip_special,
                         int64_t& begin) const;
  void join_one(const int32_t* ids, int64_t count, bool skip_special, int64_t& at,
                Output& out) const;
  void join_bytes(const int32_t* ids, int64_t count, bool skip_special, int64_t& at,
                  Output& out) const;
  // The first token of a text through all folded steps.
  std::string first(const Token& t) const;
  // Whether the token behind `t`, a first one that became `made`, is a first one.
  bool is_first_again(const Token& t, const std::string& made) const;
  std::string decode_slowly(const int32_t* ids, int64_t count, bool skip_special) const;

  // Tokens are stored as the first steps leave them when they are not the first of a text. Then
  // they are joined, and the last steps have one token left.
  std::vector<decoders::StepPointer> steps_;
  size_t folded_ = 0;          // steps that the stored tokens went through
  bool first_differs_ = false;  // one of these changes the first token in another way
  DecodeStep::Lingers lingers_ = DecodeStep::Lingers::never;
  bool joins_ = false;         // what comes next is joining
  bool bytes_ = false;         // of bytes, too
  decoders::Broken broken_ = decoders::Broken::all;
  size_t last_ = 0;            // steps behind the joining begin here
  std::string texts_;
  std::vector<Token> tokens_;                     // by id, where ids are small
  std::vector<Short> shorts_;                     // by id, too
  std::unordered_map<int32_t, Token> scattered_;  // the others
  std::vector<std::string> firsts_;               // tokens as they came, where that matters
};

}  // namespace lowbit::tokenizers
