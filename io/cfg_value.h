// Values of a cfg as text: numbers and lists of them, read to the last character.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/cfg_schema.h"

namespace rook::io {

std::string_view trim(std::string_view text);  // without spaces and tabs and CR at either end

// Nothing when any character is left over or the value does not fit; not-finite numbers are none.
std::optional<int> to_integer(std::string_view text);
std::optional<float> to_number(std::string_view text);  // 1e-5, .1 and -1 are numbers

// Elements of a comma list, trimmed; an empty one where two commas meet.
std::vector<std::string_view> split_list(std::string_view text);

// The text in quotes for a message: at most 60 characters, what is not printable as \xNN.
std::string in_quotes(std::string_view text);

// The one way to write a value: trimmed, no spaces around the commas of a list.
std::string canonical_value(KeyType type, std::string_view value);

// What is wrong with a value of this key, as the end of a sentence ("is not an integer; ..."); nothing when it is fine.
std::optional<std::string> value_problem(const CfgKey& key, std::string_view value);

// Whether the value says what a missing key says anyway.
bool equals_fallback(const CfgKey& key, std::string_view value);

}  // namespace rook::io
