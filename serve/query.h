// What a request asks for, in the words of `rook detect`: ?conf=0.3&nms=greedy&nms_threshold=0.5&max=20.
#pragma once

#include <span>
#include <string>
#include <utility>

#include "serve/batcher.h"

namespace rook::serve {

using Parameter = std::pair<std::string, std::string>;

// `defaults` with what the query changes. Throws Error that names the parameter: unknown, given twice, no number, out
// of range.
DetectSettings parse_query(std::span<const Parameter> query, const DetectSettings& defaults, const Network& network);

}  // namespace rook::serve
