#include "app/program.h"

int main(int argc, char** argv) {
  return rook::app::run_program(argc, argv);
}
