// Parts of a tokenizer from their descriptions in Python: {"type": name, option: value, ...}.
#pragma once

#include "bindings/numpy.hpp"
#include "tokenizers/decoder.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::bindings {

std::unique_ptr<const tokenizers::Step> make_normalizer(const py::dict& step);
std::unique_ptr<const tokenizers::Step> make_pre_tokenizer(const py::dict& step);
std::unique_ptr<const tokenizers::DecodeStep> make_decode_step(const py::dict& step);
std::shared_ptr<const tokenizers::Model> make_model(const py::dict& model);

template <class T>
T option(const py::dict& options, const char* name) {
  return py::cast<T>(options[name]);
}

}  // namespace lowbit::bindings
