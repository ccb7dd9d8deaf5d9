// What turns the words of a text into tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lowbit::tokenizers {

// A token and the bytes of the word that it stands for.
struct Piece {
  int32_t id;
  int32_t begin, end;
};

// Immutable, so that any number of threads may use one.
class Model {
 public:
  virtual ~Model() = default;

  // Appends the tokens of a word in order. Any bytes are a word; what cannot be spelled becomes
  // what the model has for it: unknown tokens, bytes, or nothing.
  virtual void encode(std::string_view word, std::vector<Piece>& pieces) const = 0;
};

}  // namespace lowbit::tokenizers
