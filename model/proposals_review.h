// Proposals for a folder of photos, in the order a person looks through them: as a page, JSON and CSV.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "model/proposals.h"

namespace rook {

struct ReviewPhoto {
  std::filesystem::path file;  // as it was read
  std::string name;            // in the data set of the proposals, relative to its folder
  int width = 0, height = 0;
  PhotoProposals proposals;
};

struct Review {
  std::string model;
  std::vector<std::string> classes;
  ProposalOptions options;
  std::vector<ReviewPhoto> photos;                              // the least certain first
  std::vector<std::pair<std::string, std::string>> unreadable;  // file, reason

  int proposed() const;
  double corrections() const;
};

nlohmann::json to_json(const Review& review);
// A line for each box that is proposed, and each hint.
std::string to_csv(const Review& review);
// One page without other files, of the first `most` photos. They are read again to be shown; `done` is told how many
// have been.
std::string review_html(const Review& review, int most, const std::function<void(int)>& done);

}  // namespace rook
