// Tokens back to text, by the decoders of tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lowbit::tokenizers {

// One decoder: changes the tokens of a text.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;

  // What the change of a token depends on: itself, whether it is the first one, or the others.
  enum class Reach { itself, first, others };
  virtual Reach reach() const { return Reach::others; }
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
StepPointer strip(std::string character, int64_t start, int64_t stop);

// Joins all tokens, and before that, with `bytes`, makes texts of tokens <0xXX>: of those that
// follow each other if they are UTF-8, else of each a replacement character.
class Join final : public DecodeStep {
 public:
  explicit Join(bool bytes) : bytes_(bytes) {}
  void apply(std::vector<std::string>& tokens) const override;
  bool bytes() const { return bytes_; }

 private:
  bool bytes_;
};
StepPointer byte_fallback();
StepPointer fuse();

// Appends bytes of tokens <0xXX> as a text.
void append_fallback(std::string_view bytes, std::string& out);

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
  void fold_steps(std::vector<std::string>& tokens);
  void store(const std::vector<std::string>& tokens, const std::vector<int32_t>& ids,
             const std::vector<bool>& special);
  const Token& token(int32_t id) const;
  std::string_view text(const Token& t) const { return {texts_.data() + t.begin, t.length}; }
  std::string join(const int32_t* ids, int64_t count, bool skip_special) const;
  std::string join_bytes(const int32_t* ids, int64_t count, bool skip_special) const;
  // The first token of a text through all folded steps.
  std::string first(const Token& t) const;
  std::string decode_slowly(const int32_t* ids, int64_t count, bool skip_special) const;

  // Tokens are stored as the first steps leave them when they are not the first of a text. Then
  // they are joined, and the last steps have one token left.
  std::vector<decoders::StepPointer> steps_;
  size_t folded_ = 0;          // steps that the stored tokens went through
  bool first_differs_ = false;  // one of these changes the first token in another way
  bool joins_ = false;         // what comes next is joining
  bool bytes_ = false;         // of bytes, too
  size_t last_ = 0;            // steps behind the joining begin here
  std::string texts_;
  std::vector<Token> tokens_;                     // by id, where ids are small
  std::unordered_map<int32_t, Token> scattered_;  // the others
  std::vector<std::string> firsts_;               // tokens as they came, where that matters
};

}  // namespace lowbit::tokenizers
