# Sourced by `run`: what a GPU machine without a network needs, gathered in a folder, and its packages unpacked there.

# Of the packages, and of what they want, those that belong to rook's libraries and not to the compiler.
bundled_packages() {
  local queue=("$@") package
  declare -A seen=()
  while ((${#queue[@]})); do
    package=${queue[0]}
    queue=("${queue[@]:1}")
    case $package in
      g++* | gcc* | cmake | ninja-build | libc6* | libc-dev* | libstdc++* | libgcc* | libgomp* | libgl*) continue ;;
    esac
    [[ -z ${seen[$package]:-} ]] || continue
    seen[$package]=1
    installed "$package" || continue
    printf '%s\n' "$package"
    mapfile -t -O "${#queue[@]}" queue < <(dpkg-query -W -f='${Depends},${Recommends}\n' "$package" |
      tr ',|' '\n\n' | sed 's/[(:].*//; s/ //g; /^$/d')
  done
}

# Of Boost, most of which is headers, the parts that rook's own includes lead to.
boost_parts() {
  grep -rhoE '#include <boost/[^>]+>' kernels tests | sort -u | g++ -std=c++20 -x c++ -M - | tr ' ' '\n' |
    grep -oE '/usr/include/boost/[^/]+' | sort -u
  echo /usr/include/boost/version.hpp
}

# The files of these packages without their documentation.
bundled_files() {
  local package file
  boost_parts
  for package in $(bundled_packages "${build_packages[@]%%:*}"); do
    dpkg-query -L "$package"
  done | grep -E '^/usr/(share/cmake|include|lib)/' | grep -v '^/usr/include/boost/' | sort -u |
    while read -r file; do
      [[ -d $file && ! -L $file ]] || printf '%s\n' "$file"
    done
}

# What is read on a machine with a GPU: the chess photos at the network's size, weights to start from, a photo.
bundle_assets() {
  local file
  mkdir -p "$1/assets"/{weights,cfg,images}
  for file in weights/yolov4-tiny-voc-rebuilt.conv.29 {weights,cfg}/yolo-fastest-1.1-xl-coco.{weights,cfg} images/dog.jpg; do
    [[ ! -f $ROOK_ASSETS/$file ]] || cp --no-preserve=mode "$ROOK_ASSETS/$file" "$1/assets/$file"
  done
  build/release/rook data convert "$ROOK_ASSETS/chess" "$1/assets/chess" --resize 416x416
  cp -r --no-preserve=mode "$ROOK_ASSETS/chess/splits" "$1/assets/chess/"
}

bundle() {
  (($# == 1)) || bad_usage "bundle takes a folder to write"
  [[ -z ${ROOK_BUNDLE:-} ]] || die "ROOK_BUNDLE is set; a bundle is made from installed packages"
  [[ ! -e $1 || -f $1/packages.tar.xz || -z $(ls -A "$1") ]] || die "$1 is in use and no bundle; name another folder"
  command -v dpkg-query >/dev/null || die "a bundle is made from the packages of Debian or Ubuntu"
  need "${build_packages[@]}"
  find_assets
  local folder
  mkdir -p "$1"
  folder=$(readlink -e "$1")
  rm -rf "$folder"/{assets,packages.tar.xz,commit}
  bundled_files | sed 's|^/||' >"$folder/files.txt"
  (cd / && cmake -E tar cJf "$folder/packages.tar.xz" --files-from="$folder/files.txt")
  rm "$folder/files.txt"
  if [[ -d ${ROOK_ASSETS:-}/chess ]]; then
    TARGETS=rook build release
    bundle_assets "$folder"
  else
    say "no chess photos (ROOK_ASSETS is not set): the bundle has packages alone"
  fi
  git rev-parse --short=12 HEAD >"$folder/commit" 2>/dev/null || echo unknown >"$folder/commit"
  du -ch --apparent-size "$folder"/* >&2
}

# The packages of $ROOK_BUNDLE in build/packages, unpacked again when the bundle changed.
unpack_packages() {
  local archive=$ROOK_BUNDLE/packages.tar.xz
  [[ -f $archive ]] || die "$ROOK_BUNDLE has no packages.tar.xz; write it with \`./run bundle DIR\` where there is a network"
  command -v cmake >/dev/null || die "there is no cmake here, and a bundle has libraries alone"
  [[ ! build/packages/usr -nt $archive ]] || return 0
  rm -rf build/packages
  mkdir -p build/packages
  (cd build/packages && cmake -E tar xf "$archive")
  touch build/packages/usr
}
