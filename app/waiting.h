// How the threads of a parallel region wait for one another.
#pragma once

namespace rook::app {

// Spinning, as libgomp does for milliseconds, is right while the processors are ours: a network of a hundred small
// layers takes half the time of one whose threads go to sleep between them. Beside another busy program it is wrong:
// waiting threads keep the processors from it, and from the very threads that they wait for, and everything takes
// several times as long. So this watches whether threads of this program are driven off their processors, and lets them
// sleep soon while that is so. Who has said how to wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT) is left alone. To be called
// once.
void watch_for_busy_processors();

}  // namespace rook::app
