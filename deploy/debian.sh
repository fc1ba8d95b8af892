#!/bin/sh
# Sets Proxgate up as a service on Debian 12 or newer, in an LXC of Proxmox or on a machine of its own. As root, in a
# clone of this repository:
#
#   PROXMOX_HOST=192.0.2.10 sh deploy/debian.sh
#
# Given again it brings the program up to date and leaves settings and sessions as they are. DESTDIR sets up a system that
# lies in a directory, without starting anything there.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
root=${DESTDIR:-}
program=$root/opt/proxgate
settings=$root/etc/proxgate.env

inside() { if [ -n "$root" ]; then chroot "$root" "$@"; else "$@"; fi; }

if [ "$(id -u)" != 0 ]; then
  echo "run this as root" >&2
  exit 1
fi
if [ ! -e "$settings" ] && [ -z "${PROXMOX_HOST:-}" ]; then
  echo "set PROXMOX_HOST to your Proxmox server's name or address" >&2
  exit 2
fi

if ! inside python3 -c 'import ensurepip, venv' 2>/dev/null; then
  inside apt-get update -qq
  inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv ca-certificates
fi

# What is installed is a copy: the clone may go.
source=$(inside mktemp -d)
trap 'rm -rf "$root$source"' EXIT
for part in ui services assets pyproject.toml README.md LICENSE; do
  cp -R "$here/$part" "$root$source/"
done
[ -x "$program/bin/python" ] || inside python3 -m venv /opt/proxgate
inside /opt/proxgate/bin/pip install -q --disable-pip-version-check --upgrade "$source"

if [ ! -e "$settings" ]; then
  umask 077
  # An LXC is there to be reached by others: https with a certificate of its own, until you give it a better one.
  printf 'PROXMOX_HOST=%s\nPROXGATE_HOST=0.0.0.0\n' "$PROXMOX_HOST" > "$settings"
  umask 022
fi
install -D -m 0644 "$here/deploy/proxgate.service" "$root/etc/systemd/system/proxgate.service"

if [ -n "$root" ]; then
  inside systemctl enable -q proxgate
  exit 0
fi
systemctl daemon-reload
systemctl enable -q proxgate
systemctl restart proxgate
echo "Proxgate runs. Its address, its certificate's fingerprint and the code that trusts Proxmox's: journalctl -u proxgate"
