#!/bin/sh
# PID 1 of a user-mode Linux whose root is this machine's, read-only: lays a writable layer over it, puts the
# units in place of the machine's own, and becomes systemd. `share=` is a folder of the host that both see.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
share=$(sed 's/.*share=\([^ ]*\).*/\1/' /proc/cmdline)
mount -t tmpfs -o size=8g tmpfs /mnt
mkdir /mnt/lib /mnt/up /mnt/work /mnt/root
ln -s /usr/lib/uml/modules /mnt/lib/modules
modprobe -d /mnt overlay
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root
cd /mnt/root || exit 1
mkdir -p share old var/lib/crateferry
# files and folders of an overlay are on different devices, which an import does not take
mount -t tmpfs -o size=4g tmpfs var/lib/crateferry
mount -t hostfs none share -o "$share"
rm -rf etc/systemd/system etc/systemd/network
mkdir -p etc/systemd/system
: > etc/fstab
install -m 755 share/crateferry usr/bin/crateferry
install -m 755 share/trial.sh usr/local/bin/trial.sh
cp share/systemd/*.service share/systemd/*.timer etc/systemd/system/
cp share/systemd/crateferry.sysusers.conf usr/lib/sysusers.d/crateferry.conf
cp share/systemd/crateferry.tmpfiles.conf usr/lib/tmpfiles.d/crateferry.conf
cat > etc/systemd/system/trial.service <<UNIT
[Unit]
After=basic.target
Wants=basic.target
[Service]
Type=oneshot
ExecStart=/usr/local/bin/trial.sh
ExecStopPost=/bin/systemctl poweroff --force --force
UNIT
ln -sf /etc/systemd/system/trial.service etc/systemd/system/default.target
mkdir -p etc/systemd/system/trial.target.wants
cat > etc/systemd/system/trial.target <<UNIT
[Unit]
Requires=trial.service
UNIT
rm etc/systemd/system/default.target
ln -s trial.target etc/systemd/system/default.target
umount /proc
pivot_root . old
# as on any machine: what is mounted later is seen by those who were started before
mount --make-rshared /
exec /lib/systemd/systemd < /dev/console > /dev/console 2>&1
