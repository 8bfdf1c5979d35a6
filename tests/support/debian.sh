# What the scripts share that need another Debian, or a fresh one; they source it behind script.sh. It takes root,
# debootstrap and, the first time, a package registry: that of this machine's apt, through its proxies.
#
#     $root     its folder, kept from run to run; the script says which
#     $suite    trixie, bookworm ...
#     $nothing  what is not tested without it, for the line that says so
. tools/mirror.sh

give_up() {
    skip "$nothing: $*"
    finish
}

# inside COMMAND: in that Debian, without this one's environment but for the proxies; no mount and no process outlives
# it. With $layer, a folder, what the command writes there goes into that folder and not into $root.
inside() {
    # shellcheck disable=SC2016  # for the inner shell
    unshare --mount --propagation private --pid --fork --kill-child sh -c '
        at=$1
        if [ -n "$3" ]; then
            mkdir -p "$3/upper" "$3/work" "$3/root" && at=$3/root &&
                mount -t overlay -o "lowerdir=$1,upperdir=$3/upper,workdir=$3/work" overlay "$at" || exit
        fi
        mount -t proc proc "$at/proc" && mount --rbind /dev "$at/dev" && exec chroot "$at" /usr/bin/env -i \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
            ${no_proxy:+"no_proxy=$no_proxy"} sh -c "cd /src && $2"' sh "$root" "$1" "${layer:-}" </dev/null
}

# Makes it beside its place and moves it there when it is whole.
make_debian() {
    echo "making a Debian ($suite) in $root"
    rm -rf "$root.new"
    unshare --mount --propagation private debootstrap --variant=minbase "$suite" "$root.new" "$1" </dev/null \
        >"$work/log" 2>&1 || return
    # The registry is reached from there as it is from here: apt's settings, and whom this machine trusts.
    mkdir -p "$root.new/etc/ssl/certs" "$root.new/src" &&
        echo force-unsafe-io >"$root.new/etc/dpkg/dpkg.cfg.d/90fast" || return
    apt-config dump | grep -E '^Acquire::(https?|Check-|Retries)' >"$root.new/etc/apt/apt.conf.d/90registry"
    for trusted in /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates; do
        [ ! -e "$trusted" ] || cp -rT "$trusted" "$root.new$trusted" || return
    done
    mv "$root.new" "$root"
}

# Gives up where it cannot be. One script at a time has it, and it has apt's proxies for debootstrap too.
open_debian() {
    [ "$(id -u)" -eq 0 ] || give_up "that takes root"
    command -v debootstrap >/dev/null || give_up "debootstrap is not here"
    unshare --mount --pid --fork true 2>/dev/null || give_up "root may not mount here"
    mkdir -p "$(dirname "$root")"
    exec 9>"$root.lock"
    flock -w 1800 9 || give_up "another run has been at it for half an hour"
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
    export http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" no_proxy="${no_proxy:-}"
    if [ ! -d "$root" ]; then
        place=$(debian_mirror "$suite")
        [ -n "$place" ] || give_up "no package registry answers that has it"
        make_debian "$place" || give_up "debootstrap: $(tail -n 1 "$work/log")"
    fi
}
clean_more() { rm -rf --one-file-system "$root.new"; }

# try WHAT COMMAND: a check of a command inside, with the end of what it said; the script is over when it fails.
try() {
    began=$(date +%s)
    if inside "$2" >"$work/log" 2>&1; then
        pass
        echo "$1: $(($(date +%s) - began)) s"
    else
        fail "on Debian ($suite): $1"
        tail -n 40 "$work/log"
        finish
    fi
}
