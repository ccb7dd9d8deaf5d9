#include "tokenizers/tokenizer.hpp"

#include <algorithm>
#include <memory>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/dispatch.hpp"
#include "tokenizers/batch_parts.hpp"
#include "tokenizers/part_ranges.hpp"
#include "tokenizers/training/word_counts.hpp"
#include "tokenizers/unicode.hpp"
#include "tokenizers/word_cache.hpp"

namespace lowbit::tokenizers {
namespace {

// Everything a thread needs again and again.
struct Scratch {
  Text text, part;
  std::vector<Piece> pieces;
  IdBuffer ids;
  ModelCache cache;
};
thread_local Scratch scratch;

// Bytes of a text to its code points.
class PointIndex {
 public:
  explicit PointIndex(std::string_view text) : index_(text.size() + 1) {
    int32_t points = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      index_[i] = points;
      points += i + 1 == text.size() || starts_point(text[i + 1]);
    }
    index_[text.size()] = points;
  }
  int32_t operator[](uint32_t byte) const { return index_[byte]; }

 private:
  std::vector<int32_t> index_;
};

struct IdSink {
  const Model& model;
  WordCache& cache;
  const Step* cut;
  IdBuffer& ids;

  void words(Text& text) {
    if (cut) cut->apply(text);
    encode_words(model, cache, text.bytes(), text.pieces, ids);
  }
  void raw(const RawWords& words, std::string_view text) { words.encode_text(text, cache, ids); }
  void token(int32_t id, Span, std::string_view) { ids.append(&id, 1); }
};

struct LocatedSink {
  const Speller& spell;
  const PointIndex& points;
  int32_t unknown;
  Located& out;
  int32_t number = 0;

  void words(Text& text) {
    for (const Span word : text.pieces) {
      if (word.begin == word.end) continue;
      scratch.pieces.clear();
      spell(text.bytes(word), static_cast<uint32_t>(number), scratch.pieces);
      for (const Piece& piece : scratch.pieces) {
        const Span place{word.begin + static_cast<uint32_t>(piece.begin),
                         word.begin + static_cast<uint32_t>(piece.end)};
        if (piece.id == unknown) out.spelled.emplace_back(out.ids.size(), text.bytes(place));
        add(piece.id, text.origin(place));
      }
      ++number;
    }
  }
  void token(int32_t id, Span place, std::string_view text) {
    out.spelled.emplace_back(out.ids.size(), text);
    add(id, place);
    ++number;
  }
  void add(int32_t id, Span place) {
    out.ids.push_back(id);
    out.begins.push_back(points[place.begin]);
    out.ends.push_back(points[place.end]);
    out.words.push_back(number);
  }
};

struct TextSink {
  std::vector<std::string>& found;

  void words(Text& text) {
    for (const Span piece : text.pieces)
      if (piece.begin < piece.end) found.emplace_back(text.bytes(piece));
  }
  void token(int32_t, Span, std::string_view) {}
};

struct IdCountSink {
  const Model& model;
  WordCache& cache;
  const Step* cut;
  size_t count = 0;

  void words(Text& text) {
    if (cut) cut->apply(text);
    count += count_words(model, cache, text.bytes(), text.pieces);
  }
  void raw(const RawWords& words, std::string_view text) { count += words.count_text(text, cache); }
  void token(int32_t, Span, std::string_view) { ++count; }
};

struct CountSink {
  WordCounts& counts;

  void words(Text& text) { counts.add(text.bytes(), text.pieces); }
  void token(int32_t, Span, std::string_view) {}
};

// Calls between(stretch) for what lies between added tokens, and token(id, place) for them.
template <class Between, class Token>
void for_added(const AddedTokens& tokens, const Specials& specials, std::string_view text,
               Between&& between, Token&& token) {
  for (size_t at = 0; at < text.size();) {
    const AddedTokens::Found found = tokens.find(text, at, specials);
    const size_t stop = std::min(found.begin, text.size());
    if (stop > at) between(Span{static_cast<uint32_t>(at), static_cast<uint32_t>(stop)});
    if (stop == text.size()) return;
    token(found.id, Span{static_cast<uint32_t>(found.begin), static_cast<uint32_t>(found.end)});
    at = found.end;
  }
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Model> model, const std::vector<AddedToken>& added,
                     Pipeline pipeline)
    : model_(std::move(model)), pipeline_(std::make_shared<const Pipeline>(std::move(pipeline))) {
  serial_ = ModelCache::new_owner();
  raw_words_ = RawWords::make(pipeline_->raw_cut, pipeline_->normalizers,
                              pipeline_->pre_tokenizers, *model_);
  set_added(added);
}

Tokenizer Tokenizer::with_added(const std::vector<AddedToken>& added) const {
  Tokenizer other(*this);
  other.set_added(added);
  return other;
}

void Tokenizer::set_added(const std::vector<AddedToken>& added) {
  std::vector<AddedToken> raw, normalized;
  for (const AddedToken& token : added) {
    if (!token.normalized) {
      raw.push_back(token);
      continue;
    }
    std::string content =
        pipeline_->normalizes_added ? normalize(token.content) : token.content;
    if (content.empty()) continue;
    normalized.push_back(token);
    normalized.back().content = std::move(content);
  }
  raw_ = AddedTokens(std::move(raw));
  normalized_ = AddedTokens(std::move(normalized));
}

template <class Sink>
void Tokenizer::run(std::string_view text, const Specials& specials, bool tracked,
                    Sink& sink) const {
  check(text.size() < UINT32_MAX / 4, "Tokenizer: a text of ", text.size(),
        " bytes is too long; cut it into parts of less than a gigabyte");
  for_added(
      raw_, specials, text,
      [&](Span stretch) {
        if constexpr (requires { &Sink::raw; })
          if (takes_raw())
            return sink.raw(*raw_words_, text.substr(stretch.begin, stretch.end - stretch.begin));
        scratch.text.reset(text.substr(stretch.begin, stretch.end - stretch.begin), stretch.begin,
                           tracked);
        for (const auto& step : pipeline_->normalizers) step->apply(scratch.text);
        if (normalized_.empty())
          run_between(scratch.text, sink);
        else
          for_added(
              normalized_, specials, scratch.text.bytes(),
              [&](Span part) {
                scratch.part.reset(scratch.text, part);
                run_between(scratch.part, sink);
              },
              [&](int32_t id, Span place) {
                sink.token(id, tracked ? scratch.text.origin(place) : place,
                           scratch.text.bytes(place));
              });
      },
      [&](int32_t id, Span place) {
        sink.token(id, place, text.substr(place.begin, place.end - place.begin));
      });
}

template <class Sink>
void Tokenizer::run_between(Text& text, Sink& sink) const {
  for (const auto& step : pipeline_->pre_tokenizers) step->apply(text);
  sink.words(text);
}

Located Tokenizer::encode(std::string_view text, const Specials& specials,
                          const Sampling* sampling) const {
  Located out;
  const PointIndex points(text);
  const Speller spell(*model_, sampling, 0);
  LocatedSink sink{spell, points, pipeline_->unknown, out};
  run(text, specials, true, sink);
  return out;
}

std::vector<RankedIds> Tokenizer::nbest(std::string_view text, const Specials& specials,
                                        int64_t count) const {
  NbestSink sink(*model_, count);
  run(text, specials, false, sink);
  return sink.results();
}

std::string Tokenizer::normalize(std::string_view text) const {
  Text normalized;
  normalized.reset(text, 0, false);
  for (const auto& step : pipeline_->normalizers) step->apply(normalized);
  return std::string(normalized.bytes());
}

std::vector<std::string> Tokenizer::split(std::string_view text) const {
  std::vector<std::string> words;
  TextSink sink{words};
  run(text, {}, false, sink);
  return words;
}

int64_t Tokenizer::count_ids(std::string_view text, const Specials& specials) const {
  IdCountSink sink{*model_, scratch.cache.of(cache_owner()), pipeline_->cut.get()};
  run(text, specials, false, sink);
  return static_cast<int64_t>(sink.count);
}

std::span<const int32_t> Tokenizer::encode_ids(std::string_view text, const Specials& specials,
                                               std::span<const int32_t> before,
                                               std::span<const int32_t> after) const {
  IdBuffer& ids = scratch.ids;
  ids.clear();
  ids.append(before.data(), before.size());
  encode_ids(text, specials, ids);
  ids.append(after.data(), after.size());
  return ids.ids();
}

void Tokenizer::count(std::string_view text, WordCounts& counts) const {
  CountSink sink{counts};
  run(text, {}, false, sink);
}

void Tokenizer::encode_ids(std::string_view text, const Specials& specials, IdBuffer& ids) const {
  IdSink sink{*model_, scratch.cache.of(cache_owner()), pipeline_->cut.get(), ids};
  run(text, specials, false, sink);
}

// Calls body(thread, part, begin, end) for about 32 kB of text a part, so that documents of very
// different length still share out, on so many threads at most. prepare(threads, parts, bytes)
// comes before.
template <class Prepare, class Body>
void share_out(const std::vector<std::string_view>& texts, int max_threads, Prepare&& prepare,
               Body&& body) {
  const auto count = static_cast<int64_t>(texts.size());
  int64_t bytes = 0;
  for (const std::string_view text : texts) bytes += static_cast<int64_t>(text.size());
  const int64_t grain = std::max<int64_t>(1, count * 32768 / std::max<int64_t>(1, bytes));
  const int64_t parts = (count + grain - 1) / grain;
  const int64_t threads = std::min<int64_t>({max_threads, get_num_threads(), parts});
  prepare(static_cast<size_t>(threads), static_cast<size_t>(parts), static_cast<size_t>(bytes));
  PartRanges ranges(threads, parts);
  parallel_for(threads, 1, [&](int64_t thread, int64_t) {
    for (int64_t part; (part = ranges.next(thread)) != PartRanges::kNone;)
      body(static_cast<size_t>(thread), static_cast<size_t>(part), part * grain,
           std::min(count, (part + 1) * grain));
  });
}

Ragged Tokenizer::encode_batch(const std::vector<std::string_view>& texts,
                               const Frame& frame) const {
  const auto around = static_cast<int64_t>(frame.before.size() + frame.after.size());
  check(frame.max_length >= around, "Tokenizer.encode_batch: max_length=", frame.max_length,
        " leaves no room for the ", around, " special tokens");
  const ops::Trace trace("encode_batch", "texts", static_cast<long long>(texts.size()));
  BatchParts parts;
  std::optional<SharedWords> shared;
  const auto prepare = [&](size_t threads, size_t count, size_t bytes) {
    parts.prepare(threads, count, bytes);
    if (threads > 1 && !frame.sampling) shared.emplace(bytes);
  };
  const auto encode_part = [&](size_t thread, size_t part, int64_t begin, int64_t end) {
    const Sharing sharing(scratch.cache.of(cache_owner()), shared ? &*shared : nullptr);
    IdBuffer& ids = parts.begin(thread, part);
    for (int64_t i = begin; i < end; ++i) {
      ids.append(frame.before.data(), frame.before.size());
      const auto row = static_cast<size_t>(i);
      if (frame.max_length == INT64_MAX)
        encode_row(texts[row], row, frame, ids);
      else
        encode_some(texts[row], row, frame, ids);
      ids.append(frame.after.data(), frame.after.size());
      parts.end_text(part);
    }
  };
  share_out(texts, frame.max_threads, prepare, encode_part);
  return parts.join(texts.size());
}

std::vector<int64_t> Tokenizer::count_batch(const std::vector<std::string_view>& texts,
                                            const Frame& frame) const {
  std::vector<int64_t> counts(texts.size());
  const auto around = static_cast<int64_t>(frame.before.size() + frame.after.size());
  std::optional<SharedWords> shared;
  const auto prepare = [&](size_t threads, size_t, size_t bytes) {
    if (threads > 1) shared.emplace(bytes);
  };
  const auto count_part = [&](size_t, size_t, int64_t begin, int64_t end) {
    const Sharing sharing(scratch.cache.of(cache_owner()), shared ? &*shared : nullptr);
    for (int64_t i = begin; i < end; ++i)
      counts[static_cast<size_t>(i)] =
          around + count_ids(texts[static_cast<size_t>(i)], frame.specials);
  };
  share_out(texts, frame.max_threads, prepare, count_part);
  return counts;
}

void Tokenizer::encode_row(std::string_view text, size_t row, const Frame& frame,
                           IdBuffer& ids) const {
  if (!frame.sampling) return encode_ids(text, frame.specials, ids);
  const Speller spell(*model_, &*frame.sampling, row);
  SampledSink sink{spell, ids};
  run(text, frame.specials, false, sink);
}

// The first ids of a text that the frame has room for, or the last.
void Tokenizer::encode_some(std::string_view text, size_t row, const Frame& frame,
                            IdBuffer& ids) const {
  scratch.ids.clear();
  encode_row(text, row, frame, scratch.ids);
  const std::span<const int32_t> all = scratch.ids.ids();
  const auto around = std::ssize(frame.before) + std::ssize(frame.after);
  const auto kept = static_cast<size_t>(std::min<int64_t>(std::ssize(all),
                                                          frame.max_length - around));
  ids.append(all.data() + (frame.keep_end ? all.size() - kept : 0), kept);
}

}  // namespace lowbit::tokenizers
