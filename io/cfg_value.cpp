// Reading numbers, words and lists out of a cfg.
#include "io/cfg_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "io/cfg.h"

namespace rook::io {
namespace {

template <class T>
std::optional<T> read_whole(std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "3200.0" -> "3200": calculated cfgs have such, and darknet reads integers up to the point. Other fractions stay, for
// which it would take another number than stands there.
std::string_view without_zero_fraction(std::string_view text) {
  const auto point = text.find('.');
  if (point == 0 || point == std::string_view::npos) return text;
  if (text.find_first_not_of('0', point + 1) != std::string_view::npos) return text;
  return text.substr(0, point);
}

bool is_list(KeyType type) {
  return type == KeyType::integers || type == KeyType::numbers;
}
bool is_integer(KeyType type) {
  return type == KeyType::integer || type == KeyType::integers;
}

std::string range_text(const CfgKey& key) {
  if (key.most == std::numeric_limits<double>::max()) return fmt::format("at least {}", key.least);
  return fmt::format("from {} to {}", key.least, key.most);
}

std::optional<std::string> number_problem(const CfgKey& key, std::string_view text) {
  double value = 0;
  if (is_integer(key.type)) {
    const auto integer = to_integer(text);
    if (!integer && to_number(text)) return "is not an integer of 32 bits; write it without a fraction or exponent";
    if (!integer) return "is not an integer; write digits only, such as 32";
    value = *integer;
  } else {
    const auto number = to_number(text);
    if (!number) return "is not a number; write it such as 0.1, .1 or 1e-5";
    value = *number;
  }
  if (!(value >= key.least && value <= key.most)) return fmt::format("is out of range; it must be {}", range_text(key));
  return std::nullopt;
}

std::optional<std::string> choice_problem(const CfgKey& key, std::string_view value) {
  const auto choices = split_words(key.choices);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return std::nullopt;
  if (const auto near = did_you_mean(value, choices)) return fmt::format("is unknown; did you mean '{}'?", *near);
  return fmt::format("is unknown; it must be one of: {}", key.choices);
}

}  // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<int> to_integer(std::string_view text) {
  return read_whole<int>(without_zero_fraction(text));
}

std::optional<float> to_number(std::string_view text) {
  const auto value = read_whole<float>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::vector<std::string_view> split_list(std::string_view text) {
  std::vector<std::string_view> elements;
  for (;;) {
    const auto comma = text.find(',');
    elements.push_back(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) return elements;
    text.remove_prefix(comma + 1);
  }
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result + (text.size() > kLongest ? "...'" : "'");
}

std::string canonical_value(KeyType type, std::string_view value) {
  const auto canonical = [type](std::string_view element) {
    return is_integer(type) && to_integer(element) ? without_zero_fraction(element) : element;
  };
  if (!is_list(type)) return std::string(canonical(trim(value)));
  std::string result;
  for (const auto element : split_list(value)) {
    if (!result.empty()) result += ',';
    result += canonical(element);
  }
  return result;
}

std::optional<std::string> value_problem(const CfgKey& key, std::string_view value) {
  if (key.type == KeyType::text) return std::nullopt;
  if (key.type == KeyType::choice) return choice_problem(key, value);
  if (!is_list(key.type)) return number_problem(key, value);
  const auto elements = split_list(value);
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (elements[i].empty()) return fmt::format("has an empty element {}; remove the comma too many", i + 1);
    if (auto problem = number_problem(key, elements[i])) {
      return fmt::format("has element {} which {}", in_quotes(elements[i]), *problem);
    }
  }
  return std::nullopt;
}

bool equals_fallback(const CfgKey& key, std::string_view value) {
  if (key.fallback.empty()) return false;
  const auto a = to_number(value), b = to_number(key.fallback);
  return a && b ? *a == *b : value == key.fallback;
}

}  // namespace rook::io
