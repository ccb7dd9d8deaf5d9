// A text on its way to the model: what the steps so far made of it, the pieces it is cut into, and,
// when someone wants to know, which bytes of the original every byte stands for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/pattern.hpp"

namespace lowbit::tokenizers {

class Text {
 public:
  // Starts with bytes of the original, `shift` bytes after its beginning, as a single piece. They
  // are read where they are until a step changes them.
  void reset(std::string_view original, uint32_t shift, bool tracked);

  // A stretch of another text, with what is known of its origin.
  void reset(const Text& other, Span stretch);

  std::string_view bytes() const { return bytes_; }
  std::string_view bytes(Span s) const { return bytes_.substr(s.begin, s.end - s.begin); }
  bool tracked() const { return tracked_; }
  bool is_beginning() const { return shift_ == 0; }

  // Where some bytes come from, in the whole original. Only when tracked.
  Span origin(Span s) const;

  std::vector<Span> pieces;
  std::vector<Span> spare_pieces;  // memory for the step at work

 private:
  friend class Rewrite;
  std::string_view bytes_;
  std::string storage_, spare_;
  uint32_t shift_ = 0;
  size_t longest_ = 0;  // bytes that steps may make of it
  bool tracked_ = false;
  std::vector<uint32_t> begins_, ends_, spare_begins_, spare_ends_;  // by byte, when tracked
};

// Makes the next state of a text; what is not put into it is gone. Pieces are left as they were.
class Rewrite {
 public:
  explicit Rewrite(Text& text);

  // Bytes as they are.
  void keep(Span from);
  // New bytes that all stand for the bytes `from`; nothing where that is empty. ArgumentError when
  // the text becomes longer than any tokenizer makes it, as files of strangers may ask for.
  void put(std::string_view bytes, Span from);
  // Room for bytes that a step writes itself, when the text is not tracked, and how many it wrote.
  char* room(size_t most);
  void wrote(const char* end);
  // Bytes made so far.
  uint32_t size() const { return static_cast<uint32_t>(text_.spare_.size()); }
  // The text becomes what was made.
  void finish();

 private:
  Text& text_;
};

// A normalizer or pre-tokenizer. Immutable, so that any number of threads may use one.
class Step {
 public:
  virtual ~Step() = default;
  virtual void apply(Text& text) const = 0;
  // The same for a word of ASCII's visible characters that is a text of its own, if what becomes of
  // it is one word and can be told at once; else false, and the word is of no use any more.
  virtual bool apply_to_word(std::string&) const { return false; }
  // False when this white space may become something else together with what is beside it, however
  // unlike white space that is.
  virtual bool takes_alone(char) const { return true; }
};

}  // namespace lowbit::tokenizers
