# shellcheck shell=sh
# Where Debian's packages come from, for all scripts that fetch some; they source it.

# debian_mirror SUITE: the first registry of this machine's apt that has the suite, or Debian's own. Nothing when none
# answers.
debian_mirror() {
    answer=$(mktemp)
    # shellcheck disable=SC2016  # apt's variable
    for mirror in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sort -u) \
        http://deb.debian.org/debian; do
        if timeout 60 /usr/lib/apt/apt-helper download-file "${mirror%/}/dists/$1/InRelease" "$answer" >/dev/null 2>&1; then
            echo "${mirror%/}"
            break
        fi
    done
    rm -f "$answer"
}
