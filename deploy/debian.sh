#!/bin/sh
# Sets Proxgate up as a service on Debian 12. As root, in a clone of this repository:
#
#   PROXMOX_HOST=192.0.2.10 sh deploy/debian.sh
#
# Settings then stand in /etc/proxgate/.env, and `proxgate check`, `proxgate trust` and `proxgate sessions` mean the
# service. Given again this brings the program up to date, and leaves settings and sessions as they are. DESTDIR sets up
# a system that lies in a directory, without starting anything there.
set -eu
umask 022

here=$(cd "$(dirname "$0")/.." && pwd)
root=${DESTDIR:-}
settings=$root/etc/proxgate/.env

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
inside id proxgate >/dev/null 2>&1 || inside useradd --system --home-dir /var/lib/proxgate --shell /usr/sbin/nologin proxgate

# What is installed is a copy: the clone may go. A room that was left half made, or by an older Python, is made anew.
source=$(inside mktemp -d)
trap 'rm -rf "$root$source"' EXIT
for part in ui services assets pyproject.toml README.md LICENSE; do
  cp -R "$here/$part" "$root$source/"
done
inside /opt/proxgate/bin/python -m pip --version >/dev/null 2>&1 || inside python3 -m venv --clear /opt/proxgate
inside /opt/proxgate/bin/python -m pip install -q --disable-pip-version-check --upgrade "$source"

if [ ! -e "$settings" ]; then
  install -d -m 0755 "$root/etc/proxgate"
  # Others are to reach it: https with a certificate of its own, until you give it a better one.
  (umask 077 && printf 'PROXMOX_HOST=%s\nPROXGATE_HOST=0.0.0.0\n' "$PROXMOX_HOST" > "$settings.new")
  inside chown root:proxgate /etc/proxgate/.env.new
  chmod 0640 "$settings.new"
  mv "$settings.new" "$settings"
fi
install -D -m 0644 "$here/deploy/proxgate.service" "$root/etc/systemd/system/proxgate.service"
install -D -m 0755 "$here/deploy/proxgate" "$root/usr/local/bin/proxgate"

if [ -n "$root" ]; then
  inside systemctl enable -q proxgate
  exit 0
fi
systemctl daemon-reload
systemctl enable -q proxgate
began=$(date +%s)
systemctl restart proxgate
for _ in $(seq 60); do
  said=$(journalctl -q -u proxgate -o cat --since "@$began")
  case $said in *"Proxgate is at"*) echo "$said"; exit 0 ;; esac
  if systemctl is-failed -q proxgate; then break; fi
  sleep 1
done
echo "$said" >&2
echo "Proxgate does not run: mend /etc/proxgate/.env, then systemctl restart proxgate" >&2
exit 1
