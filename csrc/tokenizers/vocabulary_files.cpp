#include "tokenizers/vocabulary_files.hpp"

#include <array>

#include "tokenizers/byte_alphabet.hpp"
#include "tokenizers/json_cursor.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr int64_t kMaxId = INT32_MAX;

// An array or object: `element` takes each one; commas are between them.
template <class Element>
bool elements(JsonCursor& json, char open, char close, Element element) {
  if (!json.take(open)) return false;
  if (json.take(close)) return true;
  do {
    if (!element()) return false;
  } while (json.take(','));
  return json.take(close);
}

// {"token": id, ...}
bool read_ids(JsonCursor& json, StringTable& tokens, std::vector<int32_t>& ids) {
  return elements(json, '{', '}', [&] {
    if (!json.string(tokens.open()) || !json.take(':')) return false;
    tokens.close();
    const std::optional<int64_t> id = json.natural();
    if (!id || *id > kMaxId) return false;
    ids.push_back(static_cast<int32_t>(*id));
    return true;
  });
}

// [["token", score], ...]
bool read_scores(JsonCursor& json, StringTable& tokens, std::vector<double>& scores) {
  return elements(json, '[', ']', [&] {
    if (!json.take('[') || !json.string(tokens.open()) || !json.take(',')) return false;
    tokens.close();
    const std::optional<std::string_view> digits = json.number();
    const std::optional<double> score = digits ? library_number(*digits) : std::nullopt;
    if (!score) return false;
    scores.push_back(*score);
    return json.take(']');
  });
}

class JsonReader {
 public:
  explicit JsonReader(std::string_view data) : data_(data) {}

  std::optional<TokenizerJson> read() {
    JsonCursor json(data_);
    bool found = false;
    const bool regular = elements(json, '{', '}', [&] {
      const auto key = json.plain_string();
      if (!key || !json.take(':')) return false;
      if (*key != "model" || found) return json.skip();
      found = true;
      return read_model(json);
    });
    if (!regular || !found || json.peek() != '\0' || json.place() != data_.size()) return {};
    if (!vocabulary_.end || (merges_.end && !read_merges())) return {};
    cut();
    return std::move(out_);
  }

 private:
  struct Span {
    size_t begin = 0, end = 0;
  };

  bool read_model(JsonCursor& json) {
    return elements(json, '{', '}', [&] {
      const auto key = json.plain_string();
      if (!key || !json.take(':')) return false;
      const char first = json.peek();
      const size_t begin = json.place();
      const bool vocabulary = *key == "vocab" && (first == '{' || first == '[');
      const bool merges = *key == "merges" && first == '[';
      if (!vocabulary && !merges) return json.skip();
      Span& span = vocabulary ? vocabulary_ : merges_;
      if (span.end || !(vocabulary ? read_vocabulary(json, first == '[') : json.skip()))
        return false;
      span = {begin, json.place()};
      return is_utf8(data_.substr(begin, span.end - begin));
    });
  }

  bool read_vocabulary(JsonCursor& json, bool scored) {
    StringTable tokens;
    std::vector<int32_t> ids;
    out_.has_scores = scored;
    if (!(scored ? read_scores(json, tokens, out_.scores) : read_ids(json, tokens, ids)))
      return false;
    if (scored)
      for (size_t id = 0; id < tokens.size(); ++id) ids.push_back(static_cast<int32_t>(id));
    out_.vocabulary = std::make_shared<TokenTable>(std::move(tokens), std::move(ids));
    return out_.vocabulary->size() > 0 && (scored || !out_.vocabulary->has_equal_tokens());
  }

  // ["left right", ...] or [["left", "right"], ...]
  bool read_merges() {
    if (out_.has_scores) return false;
    JsonCursor json(data_, merges_.begin);
    JsonCursor ahead = json;
    ahead.take('[');
    out_.joined = ahead.peek() == '"';
    out_.has_merges = true;
    std::string left, right;
    return elements(json, '[', ']', [&] {
      left.clear();
      right.clear();
      if (!out_.joined)
        return json.take('[') && json.string(left) && json.take(',') && json.string(right) &&
               json.take(']') && add_merge(left, right);
      if (!json.string(left)) return false;
      const std::string_view both = left;
      const size_t space = both.find(' ');
      return space != std::string_view::npos &&
             add_merge(both.substr(0, space), both.substr(space + 1));
    });
  }

  bool add_merge(std::string_view left, std::string_view right) {
    const TokenPair pair{out_.vocabulary->find(left), out_.vocabulary->find(right)};
    out_.merges.push_back(pair);
    return pair.left != TokenIndex::kNone && pair.right != TokenIndex::kNone;
  }

  void cut() {
    size_t at = 0;
    const auto null_for = [&](const Span& span) {
      if (!span.end) return;
      out_.rest.append(data_, at, span.begin - at).append("null");
      at = span.end;
    };
    const bool merges_first = merges_.end && merges_.begin < vocabulary_.begin;
    null_for(merges_first ? merges_ : vocabulary_);
    null_for(merges_first ? vocabulary_ : merges_);
    out_.rest.append(data_, at);
  }

  std::string_view data_;
  Span vocabulary_, merges_;
  TokenizerJson out_;
};

// The value of a digit of base64, or 64.
constexpr std::array<uint8_t, 256> make_base64() {
  std::array<uint8_t, 256> values{};
  values.fill(64);
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kDigits.size(); ++i)
    values[static_cast<uint8_t>(kDigits[i])] = static_cast<uint8_t>(i);
  return values;
}
constexpr std::array<uint8_t, 256> kBase64 = make_base64();

// Appends the bytes in base64, in GPT-2's alphabet; false for what no encoder writes.
bool append_base64(std::string_view text, std::string& out) {
  if (text.empty() || text.size() % 4) return false;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool end = i >= text.size() - padding;
    const uint32_t value = end ? 0 : kBase64[static_cast<uint8_t>(text[i])];
    if (value == 64) return false;
    bits = bits << 6 | value;
    if (i % 4 != 3) continue;
    const size_t unused = i + 1 == text.size() ? padding : 0;
    if (bits & ((1u << (8 * unused)) - 1)) return false;
    for (size_t byte = 0; byte < 3 - unused; ++byte)
      append_utf8(out, kByteAlphabet[bits >> (16 - 8 * byte) & 255]);
    bits = 0;
  }
  return true;
}

}  // namespace

std::optional<TokenizerJson> read_tokenizer_json(std::string_view data) {
  return JsonReader(data).read();
}

std::optional<TokenTable> read_tiktoken(std::string_view data) {
  StringTable tokens;
  std::vector<int32_t> ids;
  for (size_t at = 0; at < data.size();) {
    const size_t space = data.find(' ', at);
    const size_t end = data.find('\n', at);
    if (end == std::string_view::npos || space >= end) return {};
    if (!append_base64(data.substr(at, space - at), tokens.open())) return {};
    tokens.close();
    JsonCursor number(data.substr(0, end), space + 1);
    const std::optional<int64_t> id = number.natural();
    if (!id || *id > kMaxId || number.place() != end) return {};
    ids.push_back(static_cast<int32_t>(*id));
    at = end + 1;
  }
  TokenTable table(std::move(tokens), std::move(ids));
  if (table.size() == 0 || table.has_equal_tokens()) return {};
  return table;
}

}  // namespace lowbit::tokenizers
