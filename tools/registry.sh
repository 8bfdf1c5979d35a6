# shellcheck shell=bash disable=SC2034
# What tools/bundle.sh and tools/cuda12.sh share; they source it: packages of Debian and PyPI put into a folder, where
# nothing of this machine's own changes and root is not needed.
# shellcheck source=tools/mirror.sh
. "$(dirname "$0")/mirror.sh"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nasrun

say() { echo "$(basename "$0" .sh): $*"; }
die() { say "$*" >&2; exit 1; }
for command in apt-get dpkg-deb python3 flock; do
    command -v "$command" >/dev/null || die "$command is missing"
done

# debian_packages FOLDER "SUITE COMPONENT" PACKAGE...: into FOLDER/packages, by an apt for which nothing is installed.
debian_packages() {
    folder=$1 suite=$2
    shift 2
    from=$(debian_mirror "${suite%% *}")
    [ -n "$from" ] || die "no package registry answers that has ${suite%% *}"
    rm -rf "$folder/packages"
    mkdir -p "$folder/packages" "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial"
    : >"$folder/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from $suite" >"$folder/apt/sources.list"
    own="-o Dir::State=$folder/apt -o Dir::State::status=$folder/apt/status -o Dir::State::lists=$folder/apt/lists
-o Dir::Cache=$folder/apt/cache -o Dir::Etc::sourcelist=$folder/apt/sources.list -o Dir::Etc::sourceparts=-
-o APT::Architecture=amd64 -o APT::Sandbox::User="
    # shellcheck disable=SC2086  # options
    { apt-get -qq $own update && (cd "$folder/packages" && apt-get -qq $own download "$@"); } ||
        die "$from does not give the packages of \"$suite\""
}

# pypi_wheels FOLDER "NAME==VERSION --hash=..." PLATFORM: into FOLDER/wheels/unpacked. PLATFORM: that in the names of
# the wheels.
pypi_wheels() {
    rm -rf "$1/wheels"
    mkdir -p "$1/wheels/files"
    echo "$2" >"$1/wheels/wanted"
    python3 -m pip download -q --no-deps --require-hashes --only-binary :all: --platform "$3" -d "$1/wheels/files" -r "$1/wheels/wanted" ||
        die "PyPI does not give $(echo "$2" | sed 's/ .*//' | tr '\n' ' ')"
    for wheel in "$1"/wheels/files/*.whl; do
        python3 -m zipfile -e "$wheel" "$1/wheels/unpacked"
    done
    rm -r "$1/wheels/files"
}
