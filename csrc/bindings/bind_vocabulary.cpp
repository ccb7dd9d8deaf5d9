#include <algorithm>
#include <cstring>

#include "bindings/tokenizer_parts.hpp"
#include "bindings/topics.hpp"
#include "tokenizers/json_cursor.hpp"
#include "tokenizers/unicode.hpp"
#include "tokenizers/vocabulary_files.hpp"

namespace lowbit::bindings {
namespace {

using namespace tokenizers;

std::string_view token_text(py::handle token) {
  if (const auto bytes = utf8(token)) return *bytes;
  throw ArgumentError("Tokenizer: a token is no text");
}

int32_t id_of(py::handle token, py::handle id) {
  int overflow = 0;
  const long long value = PyLong_Check(id.ptr()) ? PyLong_AsLongLongAndOverflow(id.ptr(), &overflow)
                                                 : -1;
  check(!overflow && value >= 0 && value <= INT32_MAX, "Tokenizer: the token ",
        py::cast<std::string>(py::repr(token)), " has id ",
        py::cast<std::string>(py::repr(id).attr("__getitem__")(py::slice(0, 40, 1))),
        "; ids go from 0 to 2^31-1");
  return static_cast<int32_t>(value);
}

TokenTable from_dict(const py::dict& vocabulary) {
  StringTable tokens;
  std::vector<int32_t> ids;
  tokens.reserve(vocabulary.size(), 8 * vocabulary.size());
  ids.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary) {
    tokens.push_back(token_text(token));
    ids.push_back(id_of(token, id));
  }
  return {std::move(tokens), std::move(ids)};
}

TokenTable from_list(const py::list& texts) {
  StringTable tokens;
  std::vector<int32_t> ids;
  tokens.reserve(texts.size(), 8 * texts.size());
  for (const py::handle text : texts) {
    tokens.push_back(token_text(text));
    ids.push_back(static_cast<int32_t>(ids.size()));
  }
  return {std::move(tokens), std::move(ids)};
}

py::tuple to_state(const TokenTable& table) {
  const StringTable& tokens = table.tokens();
  return py::make_tuple(py::bytes(tokens.bytes()), to_array(tokens.begins()),
                        to_array(table.ids()));
}

TokenTable from_state(const py::tuple& state) {
  const auto bytes = py::cast<std::string_view>(state[0]);
  const auto begins = py::cast<Array<uint32_t>>(state[1]);
  const auto ids = py::cast<Array<int32_t>>(state[2]);
  const auto* end_of_ids = ids.data() + ids.size();
  check(std::all_of(ids.data(), end_of_ids, [](int32_t id) { return id >= 0; }),
        "Tokenizer: the pickled ids are negative");
  StringTable tokens;
  tokens.reserve(static_cast<size_t>(ids.size()), bytes.size());
  for (py::ssize_t i = 0; i + 1 < begins.size(); ++i) {
    const uint32_t begin = begins.data()[i], end = begins.data()[i + 1];
    check(begin <= end && end <= bytes.size(), "Tokenizer: the pickled tokens are damaged");
    const std::string_view token = bytes.substr(begin, end - begin);
    check(is_utf8(token), "Tokenizer: the pickled tokens are no UTF-8");
    tokens.push_back(token);
  }
  return {std::move(tokens), {ids.data(), end_of_ids}};
}

py::str to_str(std::string_view text) {
  PyObject* made = PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(made);
}

py::dict to_dict(const TokenTable& table) {
  py::dict out;
  for (uint32_t number = 0; number < table.size(); ++number)
    out[to_str(table.text(number))] = table.ids()[number];
  return out;
}

// The two tokens of a merge: [left, right], or both with a space between.
std::pair<std::string_view, std::string_view> merge_parts(PyObject* merge, size_t number) {
  if (PyUnicode_Check(merge)) {
    const std::string_view both = token_text(merge);
    const size_t space = both.find(' ');
    if (space != std::string_view::npos) return {both.substr(0, space), both.substr(space + 1)};
  } else if ((PyList_Check(merge) || PyTuple_Check(merge)) && PySequence_Size(merge) == 2) {
    PyObject* const* items = PySequence_Fast_ITEMS(merge);
    return {token_text(items[0]), token_text(items[1])};
  }
  throw ArgumentError(message("Tokenizer: merge ", number, " is not a pair of tokens"));
}

Array<uint32_t> pairs_array(const std::vector<TokenPair>& pairs) {
  Array<uint32_t> out({static_cast<py::ssize_t>(pairs.size()), py::ssize_t{2}});
  if (!pairs.empty())
    std::memcpy(out.mutable_data(), pairs.data(), pairs.size() * sizeof(TokenPair));
  return out;
}

Array<uint32_t> find_merges(const TokenTable& table, const py::list& merges) {
  std::vector<TokenPair> pairs;
  pairs.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] =
        merge_parts(PyList_GET_ITEM(merges.ptr(), static_cast<Py_ssize_t>(i)), i);
    const TokenPair pair{table.find(left), table.find(right)};
    for (const auto& [part, found] : {std::pair(left, pair.left), {right, pair.right}})
      check(found != TokenIndex::kNone, "Tokenizer: merge ", i, " ('", left, "', '", right,
            "'): '", part, "' is not in the vocabulary");
    pairs.push_back(pair);
  }
  return pairs_array(pairs);
}

py::object find(const TokenTable& table, const py::object& token) {
  const auto text = utf8(token);
  const uint32_t number = text ? table.find(*text) : TokenIndex::kNone;
  return number == TokenIndex::kNone ? py::none() : py::object(py::int_(table.ids()[number]));
}

py::object read_json(const py::bytes& data) {
  const auto view = py::cast<std::string_view>(data);
  std::optional<TokenizerJson> read;
  released([&] { read = read_tokenizer_json(view); });
  if (!read) return py::none();
  py::object scores = py::none(), merges = py::none();
  if (read->has_scores) scores = to_array(read->scores);
  if (read->has_merges) merges = pairs_array(read->merges);
  return py::make_tuple(py::bytes(read->rest), std::move(*read->vocabulary), scores, merges,
                        read->joined);
}

py::object read_ranks(const py::bytes& data) {
  const auto view = py::cast<std::string_view>(data);
  std::optional<TokenTable> read;
  released([&] { read = read_tiktoken(view); });
  return read ? py::cast(std::move(*read)) : py::none();
}

double read_number(std::string_view digits) {
  JsonCursor json(digits);
  const auto number = json.number();
  check(number && number->size() == digits.size(), "'", digits.substr(0, 40), "' is no number");
  const std::optional<double> value = library_number(digits);
  check(value.has_value(), "the number ", digits.substr(0, 40), " is too large");
  return *value;
}

}  // namespace

void bind_vocabulary(py::module_& m) {
  py::class_<TokenTable, std::shared_ptr<TokenTable>>(m, "TokenTable")
      .def_static("from_dict", &from_dict, "vocabulary"_a)
      .def_static("from_list", &from_list, "texts"_a)
      .def(py::pickle(&to_state, &from_state))
      .def("__len__", &TokenTable::size)
      .def("find", &find, "token"_a)
      .def(
          "text",
          [](const TokenTable& table, size_t number) {
            check<RangeError>(number < table.size(), "TokenTable: there is no token ", number);
            return to_str(table.text(static_cast<uint32_t>(number)));
          },
          "number"_a)
      .def("texts",
           [](const TokenTable& table) {
             py::list out;
             for (uint32_t number = 0; number < table.size(); ++number)
               out.append(to_str(table.text(number)));
             return out;
           })
      .def("ids", [](const TokenTable& table) { return to_array(table.ids()); })
      .def("to_dict", &to_dict)
      .def("has_equal_tokens", &TokenTable::has_equal_tokens)
      .def("has_behind", &TokenTable::has_behind, "mark"_a)
      .def("find_merges", &find_merges, "merges"_a);
  m.def("read_tokenizer_json", &read_json, "data"_a);
  m.def("read_tiktoken", &read_ranks, "data"_a);
  m.def("read_library_number", &read_number, "digits"_a);
}

}  // namespace lowbit::bindings
