// JSON files that rook alone writes and nobody edits: one line per element of a list, and a checksum at the end, so
// that a file which was cut off or has a wrong bit anywhere is an error and never other data.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace rook::io {

// An object as text. Its last member is "sha256": the hash of every byte before it. Throws Error naming `name` for text
// that is not UTF-8.
std::string seal_json(const nlohmann::ordered_json& object, const std::string& name);

// What was sealed, without the hash. Throws Error naming `name`: cut off, damaged, not of this kind; keys that stand
// twice.
nlohmann::json unseal_json(std::string_view text, const std::string& name);

// Reads the members of an object: each of `keys` must be there, those of `optional` may, no other; each must be of its
// type. `where` begins messages.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string where, std::initializer_list<const char*> keys,
             std::initializer_list<const char*> optional = {});

  bool has(const char* key) const { return object_.contains(key); }
  std::string text(const char* key) const;
  std::int64_t integer(const char* key, std::int64_t least, std::int64_t most) const;
  const nlohmann::json& list(const char* key) const;
  const nlohmann::json& object(const char* key) const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const nlohmann::json& member(const char* key) const { return object_.at(key); }

  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace rook::io
