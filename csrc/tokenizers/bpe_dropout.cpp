// BPE dropout (Provilkov et al., 2020): merges are passed over at random.
#include "core/error.hpp"
#include "tokenizers/bpe.hpp"
#include "tokenizers/sampling.hpp"
#include "tokenizers/utf8_atoms.hpp"

namespace lowbit::tokenizers {

void Bpe::sample(std::string_view word, const Sampling& sampling, uint64_t seed,
                 std::vector<Piece>& pieces) const {
  check(sampling.dropout >= 0 && sampling.dropout <= 1, "Bpe: dropout must be from 0 to 1, got ",
        sampling.dropout);
  if (sampling.dropout == 0) return encode(word, pieces);
  check_length(word);
  std::vector<Part> parts;
  parts.reserve(word.size());
  split_into_atoms(word, parts);
  const size_t count =
      merge_by_heap(all_merges(), parts.data(), parts.size(), {sampling.dropout, seed});
  append(word, parts.data(), count, pieces);
}

// Without dropout some merges never come to pass, and the tables for words do without them. They
// are added when the first word needs it.
const Merges& Bpe::all_merges() const {
  std::call_once(all_merges_once_, [&] {
    if (derived_)
      all_merges_ = std::make_unique<Merges>(derive_all_merges());
    else if (!listed_.empty()) {
      all_merges_ = std::make_unique<Merges>(listed_.size(), Merges::Results::listed);
      for (const Merge& merge : listed_) all_merges_->add(merge);
    }
  });
  return all_merges_ ? *all_merges_ : merges_;
}

// All pairs of symbols whose text is a token.
Merges Bpe::derive_all_merges() const {
  Merges merges(2 * ranks_.size(), tied_ ? Merges::Results::tied : Merges::Results::listed);
  for (uint32_t token = 0; token < ranks_.size(); ++token) {
    const std::string_view text = index_.text(token);
    if (index_.has_equal_tokens() && index_.find(text) != token) continue;
    for (size_t at = 0; at < text.size();) {
      at += options_.atoms == Atoms::bytes ? 1 : atom_length(text, at);
      if (at == text.size()) break;
      const uint32_t left = find_symbol(text.substr(0, at)), right = find_symbol(text.substr(at));
      if (left != kNone && right != kNone)
        merges.add({left, right, ranks_[token], symbols_[token]});
    }
  }
  return merges;
}

}  // namespace lowbit::tokenizers
