#include "app/checks.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>

namespace rook::app {
namespace {

constexpr int kSideStep = 32, kMostSide = 8192;

std::optional<double> number_in(const std::string& text) {
  double value = 0;
  if (!CLI::detail::lexical_cast(text, value) || std::isnan(value)) return std::nullopt;
  return value;
}

}  // namespace

CLI::Validator between(double least, double most) {
  const std::string bounds = fmt::format("{:.7g} to {:.7g}", least, most);
  return CLI::Validator(
      [least, most, bounds](std::string& text) {
        const std::optional<double> value = number_in(text);
        if (value && *value >= least && *value <= most) return std::string();
        return fmt::format("{} is not a number from {}", text, bounds);
      },
      bounds);
}

CLI::Validator something() {
  return CLI::Validator([](std::string& text) { return text.empty() ? std::string("is empty") : std::string(); }, "");
}

CLI::Validator input_side() {
  return CLI::Validator(
      [](std::string& text) {
        const double value = number_in(text).value_or(0);
        if (value >= kSideStep && value <= kMostSide && std::fmod(value, kSideStep) == 0) return std::string();
        return fmt::format("{} is not a multiple of {} from {} to {}", text, kSideStep, kSideStep, kMostSide);
      },
      "");
}

}  // namespace rook::app
