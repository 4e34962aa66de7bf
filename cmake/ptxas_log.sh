#!/bin/sh
# Runs a compilation of nvcc and keeps what ptxas says of each kernel in OBJECT.ptxas; bench/ptxas.py makes a table of
# it. Everything else goes to the terminal as ever.
object=
previous=
for argument in "$@"; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
[ -n "$object" ] || exec "$@"
"$@" 2>"$object.said"
status=$?
grep -v '^ptxas info' "$object.said" | grep -v '^ *[0-9]* bytes stack frame' >&2
mv "$object.said" "$object.ptxas"
exit $status
