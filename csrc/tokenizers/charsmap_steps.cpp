#include "tokenizers/normalizers.hpp"
#include "tokenizers/precompiled.hpp"

namespace lowbit::tokenizers::normalizers {
namespace {

// A step around normalize(text, out, origins).
template <class Normalizer>
class Mapped final : public Step {
 public:
  explicit Mapped(Normalizer normalizer) : normalizer_(std::move(normalizer)) {}

  void apply(Text& text) const override {
    std::string out;
    Rewrite rewrite(text);
    if (text.tracked()) {
      Origins origins;
      normalizer_.normalize(text.bytes(), out, &origins);
      for (size_t i = 0, begin = 0; i < out.size(); begin = i) {
        const Span from{origins.begin[i], origins.end[i]};
        while (++i < out.size() && origins.begin[i] == from.begin && origins.end[i] == from.end) {
        }
        rewrite.put(std::string_view(out).substr(begin, i - begin), from);
      }
    } else {
      normalizer_.normalize(text.bytes(), out);
      rewrite.put(out, {0, 0});
    }
    text.pieces.assign(1, {0, rewrite.size()});
    rewrite.finish();
  }
  bool apply_to_word(std::string& word) const override { return normalizer_.apply_to_word(word); }
  bool takes_alone(char space) const override { return normalizer_.takes_alone(space); }

 private:
  Normalizer normalizer_;
};

}  // namespace

StepPointer precompiled(std::string_view charsmap) {
  return std::make_unique<Mapped<Precompiled>>(Precompiled(charsmap));
}

StepPointer sentencepiece(std::string_view charsmap, const std::vector<std::string>& user_defined,
                          const SentencePieceOptions& options) {
  return std::make_unique<Mapped<SentencePieceNormalizer>>(
      SentencePieceNormalizer(charsmap, user_defined, options));
}

}  // namespace lowbit::tokenizers::normalizers
