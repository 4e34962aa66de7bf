#include "app/unknown_word.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "io/cfg.h"

namespace rook::app {
namespace {

std::vector<std::string> options_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::vector<std::string> commands_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* each : command.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(each->get_name());
  return names;
}

std::string complaint(const std::string& kind, const std::string& word, const std::vector<std::string>& known,
                      const std::string& command) {
  const auto near = io::did_you_mean(word, known);
  return fmt::format("no {} '{}'{}; {} --help lists what there is", kind, word,
                     near ? fmt::format(" (did you mean {}?)", *near) : "", command);
}

}  // namespace

std::string unknown_word(const CLI::App& app) {
  std::string command;
  for (const CLI::App* at = &app;;) {
    command += (command.empty() ? "" : " ") + at->get_name();
    const std::vector<std::string> known = commands_of(*at);
    for (const std::string& word : at->remaining()) {
      if (word.size() > 1 && word[0] == '-' && word != "--")
        return complaint("option", word.substr(0, word.find('=')), options_of(*at), command);
      if (!known.empty()) return complaint("command", word, known, command);
    }
    const std::vector<CLI::App*> chosen = at->get_subcommands();
    if (chosen.empty()) return "";
    at = chosen.front();
  }
}

}  // namespace rook::app
