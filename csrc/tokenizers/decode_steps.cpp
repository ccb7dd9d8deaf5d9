#include <algorithm>
#include <string_view>

#include "tokenizers/byte_alphabet.hpp"
#include "tokenizers/decoder.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers::decoders {
namespace {

using Tokens = std::vector<std::string>;

// A step made of a function: of one token, of one token and whether it is the first, or of all.
template <class Change, DecodeStep::Reach what>
class Changer final : public DecodeStep {
 public:
  explicit Changer(Change change) : change_(std::move(change)) {}
  void apply(Tokens& tokens) const override {
    if constexpr (what == Reach::itself) {
      for (std::string& token : tokens) change_(token);
    } else if constexpr (what == Reach::first) {
      for (std::string& token : tokens) change_(token, &token == tokens.data());
    } else {
      change_(tokens);
    }
  }
  Reach reach() const override { return what; }

 private:
  Change change_;
};
template <class Change>
StepPointer each(Change change) {
  return std::make_unique<Changer<Change, DecodeStep::Reach::itself>>(std::move(change));
}
template <class Change>
StepPointer each_or_first(Change change) {
  return std::make_unique<Changer<Change, DecodeStep::Reach::first>>(std::move(change));
}
template <class Change>
StepPointer all(Change change) {
  return std::make_unique<Changer<Change, DecodeStep::Reach::others>>(std::move(change));
}

void replace_all(std::string& text, std::string_view literal, std::string_view content) {
  if (literal.empty()) return;
  for (size_t at = text.find(literal); at != std::string::npos;
       at = text.find(literal, at + content.size()))
    text.replace(at, literal.size(), content);
}

// What the reference's clean-up puts together again, in its order.
void clean_up(std::string& text) {
  static constexpr std::string_view kJoined[][2] = {
      {" .", "."},     {" ?", "?"},     {" !", "!"},           {" ,", ","},
      {" ' ", "'"},    {" n't", "n't"}, {" 'm", "'m"},         {" do not", " don't"},
      {" 's", "'s"},   {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [spaced, joined] : kJoined) replace_all(text, spaced, joined);
}

}  // namespace

void append_fallback(std::string_view bytes, Broken broken, std::string& out) {
  if (is_utf8(bytes)) {
    out += bytes;
    return;
  }
  for (size_t i = 0; i < bytes.size();) {
    size_t size = 1;
    while (broken == Broken::some && size < 4 && !is_utf8(bytes.substr(i, size))) ++size;
    const std::string_view character = bytes.substr(i, size);
    if (broken == Broken::some && is_utf8(character)) {
      out += character;
      i += character.size();
    } else {
      out += "\xef\xbf\xbd";
      ++i;
    }
  }
}

// A token that is not all in the alphabet, such as an added one, stands for itself.
StepPointer byte_level() {
  return each([](std::string& token) {
    std::string bytes;
    if (to_bytes(token, bytes)) token = std::move(bytes);
  });
}

StepPointer word_piece(std::string prefix, bool cleanup) {
  return each_or_first([=](std::string& token, bool is_first) {
    if (!is_first && token.starts_with(prefix))
      token.erase(0, prefix.size());
    else if (!is_first)
      token.insert(token.begin(), ' ');
    if (cleanup) clean_up(token);
  });
}

StepPointer metaspace(std::string replacement, bool removed_first) {
  return each_or_first([=](std::string& token, bool is_first) {
    replace_all(token, replacement, is_first && removed_first ? "" : " ");
  });
}

namespace {

class SentencePieceSpaces final : public DecodeStep {
 public:
  explicit SentencePieceSpaces(bool all) : all_(all) {}
  void apply(Tokens& tokens) const override {
    for (std::string& token : tokens) {
      if (&token == tokens.data() && token.starts_with(kMetaspace))
        token.erase(0, kMetaspace.size());
      replace_all(token, kMetaspace, " ");
    }
  }
  Reach reach() const override { return Reach::first; }
  Lingers lingers() const override {
    return all_ ? Lingers::while_nothing_left : Lingers::while_empty;
  }

 private:
  bool all_;
};

}  // namespace

StepPointer sentencepiece_spaces(bool all) { return std::make_unique<SentencePieceSpaces>(all); }

StepPointer bpe(std::string suffix) {
  return all([=](Tokens& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], suffix, i + 1 == tokens.size() ? "" : " ");
  });
}

StepPointer ctc(std::string pad, std::string delimiter, bool cleanup) {
  return all([=](Tokens& tokens) {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      replace_all(token, pad, "");
      if (!cleanup) continue;
      clean_up(token);
      replace_all(token, delimiter, " ");
    }
    std::erase_if(tokens, [](const std::string& token) { return token.empty(); });
  });
}

StepPointer replace(std::string literal, std::string content) {
  return each([=](std::string& token) { replace_all(token, literal, content); });
}

StepPointer replace(std::shared_ptr<const Pattern> pattern, std::string content) {
  return each([=](std::string& token) {
    if (!is_utf8(token)) return;
    std::vector<Span> matches;
    pattern->find(token, matches);
    std::string made;
    size_t at = 0;
    for (const Span match : matches) {
      made.append(token, at, match.begin - at).append(content);
      at = match.end;
    }
    token = made.append(token, at);
  });
}

StepPointer strip(std::string character, int64_t start, int64_t stop) {
  return each([=](std::string& token) {
    const size_t size = character.size();
    for (int64_t n = 0; n < start && token.starts_with(character); ++n) token.erase(0, size);
    for (int64_t n = 0; n < stop && token.ends_with(character); ++n)
      token.resize(token.size() - size);
  });
}

void Join::apply(Tokens& tokens) const {
  Tokens out;
  std::string bytes;
  const auto flush = [&] {
    if (!bytes.empty()) append_fallback(bytes, broken_, out.emplace_back());
    bytes.clear();
  };
  for (std::string& token : tokens) {
    const int byte = bytes_ ? fallback_byte(token, true) : -1;
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    out.push_back(std::move(token));
  }
  flush();
  tokens = std::move(out);
  if (bytes_) return;
  std::string joined;
  for (const std::string& token : tokens) joined += token;
  tokens.assign(1, joined);
}

StepPointer byte_fallback(Broken broken) { return std::make_unique<Join>(true, broken); }
StepPointer fuse() { return std::make_unique<Join>(false); }

}  // namespace lowbit::tokenizers::decoders
