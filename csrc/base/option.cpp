// Reads the environment once.
#include "base/option.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace trn {
namespace {

std::string text(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

// "512M" -> bytes; 0 and a word on stderr when it is not a size.
int64_t parse_bytes(const std::string& word) {
  if (word.empty()) return 0;
  char* end = nullptr;
  const double number = std::strtod(word.c_str(), &end);
  double unit = 1;
  if (*end == 'K' || *end == 'k') unit = 1 << 10, ++end;
  else if (*end == 'M' || *end == 'm') unit = 1 << 20, ++end;
  else if (*end == 'G' || *end == 'g') unit = 1 << 30, ++end;
  if (*end == 'B' || *end == 'b') ++end;
  if (*end || number <= 0) {
    std::fprintf(stderr, "torch-trn: TRN_MEMORY=%s is not a size such as 512M or 8G; ignored\n",
                 word.c_str());
    return 0;
  }
  return static_cast<int64_t>(number * unit);
}

bool has_word(const std::string& list, const char* word) {
  const size_t n = std::strlen(word);
  for (size_t at = 0; (at = list.find(word, at)) != std::string::npos; at += n) {
    const bool begins = at == 0 || list[at - 1] == ',';
    const bool ends = at + n == list.size() || list[at + n] == ',' || list[at + n] == ':';
    if (begins && ends) return true;
  }
  return false;
}

Options read() {
  Options o;
  o.driver = text("TRN_DRIVER", "host");
  o.fallback = text("TRN_FALLBACK", "warn");
  if (o.fallback != "warn" && o.fallback != "error" && o.fallback != "silent") {
    std::fprintf(stderr, "torch-trn: TRN_FALLBACK=%s is none of warn, error, silent; using warn\n",
                 o.fallback.c_str());
    o.fallback = "warn";
  }
  o.verbose = text("TRN_VERBOSE", "");
  o.strict = text("TRN_STRICT", "");
  o.memory = parse_bytes(text("TRN_MEMORY", ""));
  const std::string devices = text("TRN_DEVICES", "2");
  o.devices = std::atoi(devices.c_str());
  if (o.devices < 0 || o.devices > 64 || (o.devices == 0 && devices != "0")) {
    std::fprintf(stderr, "torch-trn: TRN_DEVICES=%s is not a number from 0 to 64; using 2\n",
                 devices.c_str());
    o.devices = 2;
  }
  return o;
}

}  // namespace

bool Options::has_strict(const char* word) const { return has_word(strict, word); }
bool Options::has_verbose(const char* word) const {
  return has_word(verbose, word) || has_word(verbose, "all");
}

const Options& options() {
  static const Options* read_once = new Options(read());
  return *read_once;
}

}  // namespace trn
