// The best ways to spell a text of several words, from the best ways to spell each.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizers/model.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::tokenizers {

struct RankedIds {
  std::vector<int32_t> ids;
  double score;
};

class NbestSink {
 public:
  NbestSink(const Model& model, int64_t count) : model_(model), count_(count) {}

  void words(Text& text) {
    for (const Span word : text.pieces)
      if (word.begin < word.end) append(model_.nbest(text.bytes(word), count_));
  }
  void token(int32_t id, Span, std::string_view) { append({{{{id, 0, 0}}, 0}}); }

  // In descending order of the sums.
  std::vector<RankedIds> results() const;

 private:
  // One of the best spellings of the words so far: of those before the last one, and of that.
  struct Way {
    double score;
    uint32_t before, spelling;
  };
  struct Word {
    std::vector<Spelling> spellings;
    std::vector<Way> ways;
  };
  void append(std::vector<Spelling> spellings);

  const Model& model_;
  int64_t count_;
  std::vector<Word> words_;
};

}  // namespace lowbit::tokenizers
