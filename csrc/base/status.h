// Errors without exceptions: what the driver layer returns.
#pragma once

#include <string>
#include <utility>

namespace trn {

enum class Code { ok, out_of_memory, invalid_argument, device_assert, unavailable };

// A code and, unless ok, one sentence saying what was expected and what came.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == Code::ok; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

// A value, or the reason there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {}
  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  T& value() { return value_; }

 private:
  T value_{};
  Status status_;
};

}  // namespace trn
