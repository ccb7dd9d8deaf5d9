#include "tokenizers/raw_words.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "ops/dispatch.hpp"
#include "tokenizers/graphemes.hpp"
#include "tokenizers/normal_forms.hpp"
#include "tokenizers/unicode.hpp"
#include "tokenizers/unigram.hpp"

namespace lowbit::tokenizers {
namespace {

bool is_visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// Whether a step may look at a character together with the white space beside it. U+2581 is a space
// to sentencepiece, but none that its normalizer drops at the end of a word.
bool joins_space(uint32_t point) {
  thread_local GraphemeFinder finder;
  return point == 0x2581 || finder.joins_ascii(point) || is_mark(point);
}

}  // namespace

// What a thread needs to take words through the steps. A word may be a whole text of a script that
// has no spaces, and what the steps cut it into is met again.
struct RawScratch {
  Text text;
  std::string word;
  ModelCache cache;
  IdBuffer ids;
};
static thread_local RawScratch raw_scratch;

RawWords::RawWords(RawCut cut, const Steps& normalizers, const Steps& pre_tokenizers,
                   const Model& model)
    : cut_(cut), model_(model) {
  for (const Steps* steps : {&normalizers, &pre_tokenizers})
    for (const auto& step : *steps) steps_.push_back(step.get());
  for (uint32_t byte = 0; byte < 0x80; ++byte) {
    const bool white = byte == ' ' || (byte >= '\t' && byte <= '\r');
    if (white && separates(static_cast<char>(byte))) kinds_[byte] = Kind::gap;
    if (cut == RawCut::punctuation && (bert_flags(byte) & kPunctuation)) kinds_[byte] = Kind::mark;
  }
  // White space behind it may be in one cluster with it.
  if (cut != RawCut::punctuation) kinds_['\r'] = Kind::part;
}

std::shared_ptr<const RawWords> RawWords::make(RawCut cut, const Steps& normalizers,
                                               const Steps& pre_tokenizers, const Model& model) {
  if (cut == RawCut::nowhere) return nullptr;
  std::shared_ptr<RawWords> words(new RawWords(cut, normalizers, pre_tokenizers, model));
  if (cut == RawCut::sentencepiece) {
    words->unigram_ = dynamic_cast<const Unigram*>(&model);
    if (!words->unigram_ || words->unigram_->cut() != Unigram::Cut::before_spaces) return nullptr;
  }
  return words->kinds_[' '] == Kind::gap ? words : nullptr;
}

// Whether the steps cut at this character and leave nothing of it.
bool RawWords::separates(char character) const {
  const auto pieces = [&](std::string_view source) {
    const Text& text = apply_steps(source, raw_scratch);
    std::vector<std::string> found;
    for (const Span piece : text.pieces) found.emplace_back(text.bytes(piece));
    return found;
  };
  for (const Step* step : steps_)
    if (!step->takes_alone(character)) return false;
  std::vector<std::string> two = pieces("a");
  if (two.size() != 1) return false;
  if (cut_ == RawCut::sentencepiece)
    two[0] += two[0];
  else
    two.push_back(two[0]);
  return pieces(std::string{'a', character, 'a'}) == two;
}

const Text& RawWords::apply_steps(std::string_view word, RawScratch& scratch) const {
  scratch.text.reset(word, 0, false);
  for (const Step* step : steps_) step->apply(scratch.text);
  return scratch.text;
}

// What the steps make of a word, or null when they do not tell at once.
const std::string* RawWords::plain(std::string_view word, RawScratch& scratch) const {
  if (!is_visible_ascii(word)) return nullptr;
  scratch.word = word;
  for (const Step* step : steps_)
    if (!step->apply_to_word(scratch.word)) return nullptr;
  return &scratch.word;
}

void RawWords::encode(std::string_view word, std::vector<Piece>& pieces) const {
  RawScratch& scratch = raw_scratch;
  if (const std::string* made = plain(word, scratch)) return model_.encode(*made, pieces);
  const Text& text = apply_steps(word, scratch);
  // One piece is the word in another case at most, and is not worth a second look-up.
  if (text.pieces.size() == 1 && !text.bytes(text.pieces[0]).empty())
    return model_.encode(text.bytes(text.pieces[0]), pieces);
  scratch.ids.clear();
  encode_words(model_, scratch.cache.of(serial_), text.bytes(), text.pieces, scratch.ids);
  for (const int32_t id : scratch.ids.ids()) pieces.push_back({id, 0, 0});
}

void RawWords::encode_ids(std::string_view word, IdBuffer& ids) const {
  RawScratch& scratch = raw_scratch;
  if (const std::string* made = plain(word, scratch)) return model_.encode_ids(*made, ids);
  const Text& text = apply_steps(word, scratch);
  encode_words(model_, scratch.cache.of(serial_), text.bytes(), text.pieces, ids);
}

// The words of a text for a model that adds scores from its beginning, so that near-ties depend on
// the sum so far. Words whose spelling is the same behind all sums that are met are kept.
class RunningWords final : public WordSource {
 public:
  RunningWords(const RawWords& words, WordCache& cache, std::string_view text, IdBuffer& ids)
      : words_(words), cache_(cache), text_(text), ids_(ids), counted_(ids.size()) {}

  void add(std::span<const Span> words) {
    for (size_t at = 0; at < words.size(); at += kBatch) {
      const auto batch = words.subspan(at, std::min(kBatch, words.size() - at));
      const size_t before = ids_.size();
      const double total = total_;
      near_end_ = is_near_end();
      if (!near_end_) encode_words(*this, cache_, text_, batch, ids_);
      // Also when a long word brought the sum so far: what the cache has may be wrong behind it.
      if (near_end_) {
        ids_.shrink(before);
        counted_ = before, total_ = total;
        for (const Span word : batch) add_alone(word);
      }
      catch_up();
    }
  }

  bool spell(std::string_view word, std::vector<Piece>& pieces) override {
    catch_up();
    const Margin margin = words_.unigram_->encode(text_of(word), total_, pieces);
    counted_ = ids_.size() + pieces.size();
    near_end_ = near_end_ || is_near_end();
    return margin.reach < kReach && words_.unigram_->holds(margin, kTotal);
  }

  void spell_once(std::string_view word, IdBuffer& ids) override {
    catch_up();
    total_ = words_.unigram_->encode_ids(text_of(word), total_, ids);
    counted_ = ids_.size();
    near_end_ = near_end_ || is_near_end();
  }

 private:
  static constexpr size_t kBatch = 32;
  // Sums of a text, below the place where sentencepiece starts again from 0, and of a word.
  static constexpr double kTotal = 99000, kReach = 400;

  std::string_view text_of(std::string_view word) const {
    const std::string* made = words_.plain(word, raw_scratch);
    return made ? *made : words_.apply_steps(word, raw_scratch).bytes();
  }

  bool is_near_end() const { return std::abs(total_) + kBatch * kReach >= kTotal; }

  void add_alone(Span word) {
    pieces_.clear();
    spell(text_.substr(word.begin, word.end - word.begin), pieces_);
    append_ids(pieces_, ids_);
  }

  void catch_up() {
    total_ = words_.unigram_->advance(total_, ids_.ids().subspan(counted_));
    counted_ = ids_.size();
  }

  const RawWords& words_;
  WordCache& cache_;
  const std::string_view text_;
  IdBuffer& ids_;
  double total_ = 0;
  bool near_end_ = false;  // words of the cache may be beyond kTotal
  size_t counted_;  // ids whose scores are in the total
  std::vector<Piece> pieces_;
};

void RawWords::encode_text(std::string_view text, WordCache& cache, IdBuffer& ids) const {
  RawCutter cutter(*this, text);
  const auto for_words = [&](auto&& use) {
    for (auto found = cutter.next(); !found.empty(); found = cutter.next()) use(found);
  };
  if (!unigram_)
    return for_words([&](auto found) { encode_words(*this, cache, text, found, ids); });
  RunningWords running(*this, cache, text, ids);
  for_words([&](auto found) { running.add(found); });
}

size_t RawWords::count_text(std::string_view text, WordCache& cache) const {
  if (unigram_) {
    IdBuffer& ids = raw_scratch.ids;
    ids.clear();
    encode_text(text, cache, ids);
    return ids.size();
  }
  size_t count = 0;
  RawCutter cutter(*this, text);
  for (auto found = cutter.next(); !found.empty(); found = cutter.next())
    count += count_words(*this, cache, text, found);
  return count;
}

std::span<const Span> RawCutter::next() {
  if (begun_ > ended_) begins_[0] = begins_[ended_];
  begun_ -= ended_;
  ended_ = 0;
  while (ended_ == 0 && at_ < text_.size()) {
    cut_chunk();
    if (at_ == text_.size() && begun_ > ended_)
      ends_[ended_++] = static_cast<uint32_t>(text_.size());
  }
  for (size_t i = 0; i < ended_; ++i) spans_[i] = {begins_[i], ends_[i]};
  return {spans_, ended_};
}

void RawCutter::cut_chunk() {
  const auto classify = ops::kernels().classify;
  ByteMasks masks[kChunk];
  Borders borders[kChunk];
  const size_t left = text_.size() - at_;
  if (left < kMaskBytes) {
    uint8_t padded[kMaskBytes];
    std::memset(padded, ' ', sizeof(padded));
    std::memcpy(padded, text_.data() + at_, left);
    classify({padded, 1, masks});
    borders[0] = cut_block(masks[0], at_);
    list(borders, 1);
    at_ = text_.size();
    return;
  }
  const size_t blocks = std::min(kChunk, left / kMaskBytes);
  classify({reinterpret_cast<const uint8_t*>(text_.data()) + at_, static_cast<int64_t>(blocks),
            masks});
  for (size_t i = 0; i < blocks; ++i) borders[i] = cut_block(masks[i], at_ + i * kMaskBytes);
  list(borders, blocks);
  at_ += blocks * kMaskBytes;
}

void RawCutter::list(const Borders* blocks, size_t count) {
  const auto list_bits = ops::kernels().list_bits;
  const auto add = [&](uint64_t Borders::* side, uint32_t* places, size_t& total) {
    uint64_t masks[kChunk];
    for (size_t i = 0; i < count; ++i) masks[i] = blocks[i].*side;
    int64_t found;
    list_bits({masks, static_cast<int64_t>(count), static_cast<uint32_t>(at_), places + total,
               &found});
    total += static_cast<size_t>(found);
  };
  add(&Borders::begins, begins_, begun_);
  add(&Borders::ends, ends_, ended_);
}

RawCutter::Borders RawCutter::cut_block(const ByteMasks& masks, size_t begin) {
  const bool marks = words_.cut_ == RawCut::punctuation;
  uint64_t part = marks ? masks.letters | masks.digits | masks.high : ~masks.whites, mark = 0;
  for (uint64_t open = ~(part | masks.spaces); open != 0; open &= open - 1) {
    const size_t at = begin + static_cast<size_t>(std::countr_zero(open));
    const RawWords::Kind kind = words_.kinds_[static_cast<uint8_t>(text_[at])];
    const uint64_t bit = open & -open;
    if (kind == RawWords::Kind::mark) mark |= bit;
    const bool follows_return = !marks && at > 0 && text_[at - 1] == '\r';
    if (kind == RawWords::Kind::part || follows_return) part |= bit;
  }
  if (!marks && (masks.high != 0 || high_at(begin - 1) || high_at(begin + kMaskBytes))) [[unlikely]]
    part |= joined(~part, begin);
  const Borders found{(part & ~(part << 1 | in_word_)) | mark,
                      (~part & (part << 1 | in_word_)) | mark << 1 | behind_mark_};
  in_word_ = part >> 63;
  behind_mark_ = mark >> 63;
  return found;
}

// White space that may be in one cluster with a character beside it.
uint64_t RawCutter::joined(uint64_t gaps, size_t begin) const {
  uint64_t found = 0;
  for (; gaps != 0; gaps &= gaps - 1) {
    const size_t at = begin + static_cast<size_t>(std::countr_zero(gaps));
    if (at >= text_.size()) break;
    bool joins = false;
    if (at > 0 && high_at(at - 1)) {
      size_t before = at - 1;
      while (before > 0 && !starts_point(text_[before])) --before;
      joins = joins_space(next_point(text_, before));
    }
    size_t behind = at + 1;
    if (high_at(behind)) joins = joins || joins_space(next_point(text_, behind));
    if (joins) found |= gaps & -gaps;
  }
  return found;
}

}  // namespace lowbit::tokenizers
