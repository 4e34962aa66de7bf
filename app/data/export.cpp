// rook data export: a data set or version as files that other programs read.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <filesystem>

#include "app/data/data.h"
#include "base/error.h"
#include "io/dataset_write.h"

namespace fs = std::filesystem;

namespace rook::app {
namespace {

struct DataExportFlags {
  StoreOptions store;
  std::string name, out, format = "coco";
};

void run(const DataExportFlags& o) {
  const io::Store store = o.store.store();
  const io::StoredName name = io::parse_stored_name(o.name);
  io::Dataset dataset;
  if (name.version > 0) {
    store.read_version(name.set, name.version);
    dataset = io::read_dataset(store.folder_of(name.set, name.version));
  } else {
    store.read_set(name.set);
    dataset = io::read_dataset(store.folder_of(name.set));
  }
  for (const io::Fault& fault : dataset.faults)
    if (fault.fatal) throw Error(fmt::format("{}: {}", fault.file.string(), fault.message));
  const std::string own_name =
      name.version > 0 ? fmt::format("{}-v{}-{}", name.set, name.version, o.format) : name.set + "-" + o.format;
  const fs::path out = (fs::path(o.out.empty() ? own_name : o.out).lexically_normal() / "").parent_path();
  if (fs::exists(out) && !(fs::is_directory(out) && fs::is_empty(out)))
    throw Error(fmt::format("{}: exists and is not empty; name a new folder", out.string()));
  // Written beside it and renamed: a folder of that name is whole.
  const fs::path unfinished = out.string() + ".unfinished";
  if (fs::exists(unfinished))
    throw Error(fmt::format("{}: is in the way, left by an export that was ended; remove it", unfinished.string()));
  install_interrupt();
  io::write_dataset(dataset, unfinished, o.format, io::PlacePhotos::copy, &interrupted());
  fs::rename(unfinished, out);
  fmt::print("{} written to {} as {}{}\n", o.name, out.string(), o.format, left_out_text(dataset, o.format));
}

}  // namespace

void add_data_export(CLI::App& data) {
  auto o = std::make_shared<DataExportFlags>();
  CLI::App* c = data.add_subcommand("export", "write a data set or version as files for other programs");
  c->add_option("name", o->name, "a version, like chess/v1, or a data set as it is now")->required();
  c->add_option("out", o->out, "new folder (default: by its name, like chess-v1-coco)");
  c->add_option("--format", o->format, "coco, yolo, voc, darknet, or coco+yolo")
      ->capture_default_str()
      ->check(CLI::IsMember({"coco", "yolo", "voc", "darknet", "coco+yolo"}));
  o->store.add(*c);
  c->footer("Example:\n  rook data export chess/v1 --format yolo");
  c->callback([o] { run(*o); });
}

}  // namespace rook::app
