# shellcheck shell=sh
# Shared by ./demo and ./check: installs what is missing, then builds. Sourced, not run.
# Defines: tare_install_packages, tare_build DIR [CONFIGURE-OPTION...]

tare_top=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

tare_say() { printf '%s\n' "$*" >&2; }

# Everything that building and testing needs, as a list of what is not there.
tare_missing() {
	for tool in autoreconf automake make pkg-config tmux xxhsum; do
		command -v "$tool" >/dev/null 2>&1 || printf '%s ' "$tool"
	done
	command -v "${CC:-cc}" >/dev/null 2>&1 || printf 'cc '
	for module in ncursesw libzstd sqlite3 libxxhash jansson yaml-0.1 libcrypto cmocka; do
		pkg-config --exists "$module" 2>/dev/null || printf '%s ' "$module"
	done
}

tare_install_packages() {
	missing=$(tare_missing)
	[ -n "$missing" ] || return 0
	tare_say "missing: $missing"
	if ! command -v apt-get >/dev/null 2>&1; then
		tare_say "Please install these and run this again:"
		tare_say "  dnf:    gcc make autoconf automake pkgconf ncurses-devel libzstd-devel sqlite-devel xxhash-devel xxhash jansson-devel libyaml-devel openssl-devel libcmocka-devel tmux"
		tare_say "  pacman: base-devel ncurses zstd sqlite xxhash jansson libyaml openssl cmocka tmux"
		tare_say "  apk:    build-base autoconf automake pkgconf linux-headers ncurses-dev zstd-dev sqlite-dev xxhash-dev xxhash jansson-dev yaml-dev openssl-dev cmocka-dev tmux"
		tare_say "  brew:   autoconf automake pkg-config ncurses zstd sqlite xxhash jansson libyaml openssl cmocka tmux"
		return 1
	fi
	sudo=
	if [ "$(id -u)" -ne 0 ]; then
		sudo=sudo
		tare_say "installing packages with sudo apt-get"
	fi
	packages="build-essential autoconf automake pkg-config libncurses-dev libzstd-dev libsqlite3-dev libxxhash-dev xxhash libjansson-dev libyaml-dev libssl-dev libcmocka-dev tmux xfsprogs"
	# shellcheck disable=SC2086
	if ! DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $packages >/dev/null 2>&1; then
		$sudo apt-get update -qq >&2 &&
			DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $packages >&2
	fi || { tare_say "apt-get could not install: $packages"; return 1; }
}

# Configures DIR (once, or when configure changed) and builds the program there.
tare_build() {
	dir=$1
	shift
	if [ ! -x "$tare_top/configure" ] || [ "$tare_top/configure.ac" -nt "$tare_top/configure" ] ||
		[ "$tare_top/Makefile.am" -nt "$tare_top/Makefile.in" ]; then
		(cd "$tare_top" && autoreconf -fi >/dev/null 2>&1) ||
			(cd "$tare_top" && autoreconf -fi) || return 1
	fi
	mkdir -p "$dir" || return 1
	if [ ! -f "$dir/Makefile" ] || [ "$tare_top/configure" -nt "$dir/Makefile" ]; then
		(cd "$dir" && "$tare_top/configure" -q "$@") || return 1
	fi
	make -s -C "$dir" -j"$(getconf _NPROCESSORS_ONLN)" all
}
