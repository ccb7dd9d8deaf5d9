// Which instruction set runs: the best one of this machine, capped by LOWBIT_ISA or use_isa().
#pragma once

#include <string>
#include <vector>

#include "kernels/table.hpp"

namespace lowbit::ops {

// The table in use; read once per operation, never inside a loop.
const KernelTable& kernels();

std::vector<std::string> isas();           // compiled in and able to run here, worst first
std::string active_isa();
void use_isa(const std::string& name);     // ArgumentError when the name is not in isas()
std::vector<std::string> compiled_isas();  // compiled in, whether or not they run here
std::vector<std::string> kernel_names();

// One line on standard error per operation when LOWBIT_VERBOSE=1:
//   lowbit: linear nf4 M=800 N=384 K=384 avx2 threads=2 1.41 ms
class Trace {
 public:
  template <class... Parts>
  explicit Trace(const char* operation, const Parts&... parts) : operation_(operation) {
    record(operation);
    if (verbose()) start(parts...);
  }
  ~Trace() {
    if (!text_.empty()) finish();
  }
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

 private:
  static bool verbose();
  static void record(const char* operation);
  template <class... Parts>
  void start(const Parts&... parts) {
    ((text_ += ' ', append(parts)), ...);
    if (text_.empty()) text_ += ' ';
    begin_ = now();
  }
  void append(const char* part) { text_ += part; }
  void append(const std::string& part) { text_ += part; }
  void append(long long part) { text_ += std::to_string(part); }
  static double now();
  void finish();

  const char* operation_;
  std::string text_;
  double begin_ = 0;
};

std::string last_kernel();  // "linear avx2": the last operation of any thread, "" before the first

}  // namespace lowbit::ops
