// The table of every cfg section and key there is: type, default, range, and what rook does with it
// (darknet.md 1.2-1.5, 5, 6). A new key is one row in cfg_schema.cpp.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rook::io {

enum class KeyType { integer, number, text, choice, integers, numbers };

enum class KeyUse {
  used,     // rook acts on it (or the network builder refuses the value by name)
  ignored,  // has no effect in rook and does not change what a trained network computes: a value off the default is a
            // warning
  niche     // would change what the network computes, and rook does not do it: a value off the default is an error
};

struct CfgKey {
  std::string_view name;
  KeyType type = KeyType::text;
  std::string_view fallback = {};  // darknet's default as text; empty: there is none
  double least = std::numeric_limits<double>::lowest();
  double most =
      std::numeric_limits<double>::max();  // range of a number or of each element of a list, both ends included
  KeyUse use = KeyUse::used;
  std::string_view choices = {};  // of KeyType::choice: the words it may be, separated by spaces
  bool required = false;
};

struct CfgSchema {
  std::string_view type;   // canonical name
  std::string_view other;  // other spellings, separated by spaces
  std::span<const CfgKey> keys;
  bool in_scope = true;  // false: a layer of darknet's that is no part of a detector; its keys are not checked
};

// The schema of a section by any of its spellings, without brackets; null when there is no such section.
const CfgSchema* find_schema(std::string_view section);

// A key of the section, keys that every layer has included; null when unknown.
const CfgKey* find_key(const CfgSchema& schema, std::string_view key);

// Every spelling of a section; every key of one. For suggestions.
std::vector<std::string> section_names();
std::vector<std::string> key_names(const CfgSchema& schema);

std::span<const CfgSchema> all_schemas();
std::span<const CfgKey> layer_keys();  // what every section but [net] has

std::vector<std::string> split_words(std::string_view words);

}  // namespace rook::io
