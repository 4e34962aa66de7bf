// How the threads of a parallel region wait for one another.
#pragma once

namespace rook::app {

// Lets them sleep soon. By default libgomp's threads spin for milliseconds when there are no more of them than
// processors: beside another busy program that takes from it, and from the very threads that are waited for, the
// processors that they need, and everything takes several times as long. Its environment variables would say so but are
// read before main; who has set one (OMP_WAIT_POLICY, GOMP_SPINCOUNT) is left alone. To be called once, before the
// first region.
void let_waiting_threads_sleep();

}  // namespace rook::app
