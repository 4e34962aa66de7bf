// Adding labelled photos to a data set of the store: all of them, or nothing when one is faulty.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/store.h"

namespace rook::io {

struct AddOptions {
  // Empty: the folder's own splits where it has them, else "auto". auto: by content, in these shares of train, valid,
  // test: the same photo always comes to the same split. Else the split that all photos go to.
  std::string split = {};
  std::array<double, 3> shares = {0.7, 0.2, 0.1};
  std::filesystem::path only = {};  // of train only the photos that this file names; valid and test whole
  DatasetOptions reading = {};
  std::vector<std::string> merge = {};                   // as it was written, for the history
  int near_limit = kNearLimit;                           // below 0: only equal bytes make a photo the same
  bool new_classes = false;                              // classes that the data set does not have yet are taken
  bool relabel = false;                                  // photos that are there already get these labels
  bool skip_faulty = false;                              // leaves out what is faulty and adds the rest
  std::function<void(int done, int all)> progress = {};  // photos read; one call at a time
};

// A photo that was not added, as it is there.
struct Duplicate {
  std::filesystem::path file;
  std::string of;    // name of the photo that is there
  int distance = 0;  // bits of the near-duplicate hash; -1: the same bytes
  bool relabelled = false;
  bool other_labels = false;  // its labels are not those of the photo that is there, and were not taken
};

struct AddReport {
  std::vector<Fault> faults;  // those that are fatal first
  bool refused = false;       // nothing was added: a fault is fatal
  std::vector<std::string> new_classes;
  std::vector<Duplicate> duplicates;
  std::vector<SplitCount> added;
  StoreChange change;
  bool own_splits = false;  // those of the folder were taken
};

// Throws Error: no such data set, folder not readable, a class that the data set does not have, the store in use.
AddReport add_photos(const Store& store, const std::string& name, const std::filesystem::path& folder,
                     const AddOptions& options);

// Takes photos out of the data set, by name. Versions keep them. Throws Error for a name that fits no photo, or
// several.
StoreChange remove_photos(const Store& store, const std::string& name, const std::vector<std::string>& photos);

}  // namespace rook::io
