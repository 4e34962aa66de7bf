// What a cfg must hold beyond well-formed lines, what is legal but a trap, and the few facts about heads both need.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/cfg.h"

namespace rook::io {

// Throws Error at the first contradiction: missing keys, steps without scales, masks and layer indices out of range.
void check_cfg(const Cfg& cfg);

// Traps that are legal, each with its line. The cfg has passed check_cfg.
std::vector<CfgWarning> lint_cfg(const Cfg& cfg);

bool is_head(const CfgSection& section);  // yolo, Gaussian_yolo, region

// Indices of the anchors a head uses; all of them when it has no mask.
std::vector<int> head_mask(const CfgSection& head);

// Filters of the convolution before a head: (C + 5) * masks, Gaussian (C + 9) * masks, region (C + coords + 1) * num.
std::int64_t head_filters(const CfgSection& head, int classes);

// A key's value or, when it is missing, the default of the table; throws Error on a key the table gives no default.
int integer_or_default(const CfgSection& section, std::string_view key);
float number_or_default(const CfgSection& section, std::string_view key);

const CfgEntry* find_entry(const CfgSection& section, std::string_view key);  // null when missing
int line_of(const CfgSection& section, std::string_view key);                 // the section's line when missing

// "FILE:LINE: [section] " for a message about a key, or about the section when the key is missing.
std::string place_of(const CfgSection& section, std::string_view key = {});

}  // namespace rook::io
