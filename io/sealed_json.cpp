#include "io/sealed_json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/json_reason.h"
#include "io/content_hash.h"

namespace rook::io {

using nlohmann::json;

namespace {

constexpr std::string_view kBeforeHash = ",\n \"sha256\": \"", kAfterHash = "\"\n}\n";
constexpr std::size_t kHashDigits = 64, kSeal = kBeforeHash.size() + kHashDigits + kAfterHash.size();

// One element per line; deeper values stay on that line.
std::string list_text(const nlohmann::ordered_json& list) {
  std::string text = "[";
  for (std::size_t i = 0; i < list.size(); ++i) text += fmt::format("{}\n  {}", i ? "," : "", list[i].dump());
  return text + (list.empty() ? "]" : "\n ]");
}

json parse_without_repeats(std::string_view text, const std::string& name) {
  std::vector<std::set<std::string>> keys;
  const json::parser_callback_t watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      throw Error(fmt::format("{}: the key {} stands twice", name, value.dump()));
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    throw Error(fmt::format("{}: is no JSON: {}", name, json_reason(error)));
  }
}

}  // namespace

std::string seal_json(const nlohmann::ordered_json& object, const std::string& name) {
  std::string text = "{";
  try {
    for (const auto& [key, value] : object.items())
      text += fmt::format("{}\n {}: {}", text.size() > 1 ? "," : "", json(key).dump(),
                          value.is_array() ? list_text(value) : value.dump());
  } catch (const json::exception&) {
    throw Error(fmt::format("{}: a name is not UTF-8, which JSON demands; rename the photo or class", name));
  }
  return text + std::string(kBeforeHash) + content_hash(text) + std::string(kAfterHash);
}

json unseal_json(std::string_view text, const std::string& name) {
  if (!text.starts_with("{\n ") || text.size() < kSeal)
    throw Error(fmt::format("{}: is no manifest of rook, or was cut off", name));
  const std::string_view content = text.substr(0, text.size() - kSeal), seal = text.substr(text.size() - kSeal);
  if (!seal.starts_with(kBeforeHash) || !seal.ends_with(kAfterHash))
    throw Error(fmt::format(
        "{}: was cut off, or edited: its checksum does not stand at its end; restore it from a copy", name));
  if (content_hash(content) != seal.substr(kBeforeHash.size(), kHashDigits))
    throw Error(fmt::format("{}: is damaged, or was edited: its checksum fits no more; restore it from a copy", name));
  json object = parse_without_repeats(text, name);
  object.erase("sha256");
  return object;
}

JsonFields::JsonFields(const json& object, std::string where, std::initializer_list<const char*> keys,
                       std::initializer_list<const char*> optional)
    : object_(object), where_(std::move(where)) {
  if (!object.is_object()) fail("is no object");
  for (const char* key : keys)
    if (!object.contains(key)) fail(fmt::format("has no \"{}\"", key));
  const auto among = [](const auto& list, const std::string& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  for (const auto& [key, value] : object.items())
    if (!among(keys, key) && !among(optional, key)) fail(fmt::format("has an unknown key \"{}\"", key));
}

std::string JsonFields::text(const char* key) const {
  if (!member(key).is_string()) fail(fmt::format("\"{}\" is no text", key));
  return member(key).get<std::string>();
}

std::int64_t JsonFields::integer(const char* key, std::int64_t least, std::int64_t most) const {
  const json& value = member(key);
  const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)
                                               : value.is_number_integer();
  if (!fits || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
    fail(fmt::format("\"{}\" is not a whole number from {} to {}", key, least, most));
  return value.get<std::int64_t>();
}

const json& JsonFields::list(const char* key) const {
  if (!member(key).is_array()) fail(fmt::format("\"{}\" is no list", key));
  return member(key);
}

const json& JsonFields::object(const char* key) const {
  if (!member(key).is_object()) fail(fmt::format("\"{}\" is no object", key));
  return member(key);
}

void JsonFields::fail(const std::string& what) const {
  throw Error(fmt::format("{}: {}", where_, what));
}

}  // namespace rook::io
