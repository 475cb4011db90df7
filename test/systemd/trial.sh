#!/bin/sh
# What an operator does with the units, under a real systemd; each finding is a line of share/found. The test
# that boots this says what must stand there.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
as() { runuser -u crateferry -- "$@"; }
found() { printf '%s %s\n' "$1" "$2" >> /share/found; }
# waits up to two minutes for a command to succeed
until_ok() { for _ in $(seq 240); do "$@" > /dev/null 2>&1 && return 0; sleep 0.5; done; return 1; }
answers() { curl -sf "http://127.0.0.1:$1/$2"; }
show() { systemctl show --property="$2" --value "$1"; }
main_pid() { show crateferry@crates MainPID; }
exec > /share/log 2>&1
set -x

systemd-sysusers && systemd-tmpfiles --create
found user "$(id -un crateferry)"
found folder "$(stat -c '%U %a' /var/lib/crateferry)"

# a signed upstream, served by a process of its own
/usr/bin/crateferry upstream /srv/repository --from /share/plain
root=/srv/repository/public/tuf/1.root.json
/usr/bin/crateferry serve --mirror /srv/repository --listen 127.0.0.1:9000 &
until_ok answers 9000 healthz

mirror=/var/lib/crateferry/crates
as /usr/bin/crateferry init $mirror --upstream http://127.0.0.1:9000/ --root $root
systemctl start crateferry@crates
journalctl -u crateferry@crates --no-pager > /share/journal
found started "$(systemctl is-active crateferry@crates), $(show crateferry@crates NotifyAccess), $(show crateferry@crates Type)"
until_ok answers 8377 index/fe/rr/ferry-hull
found served "$(answers 8377 index/fe/rr/ferry-hull | wc -l)"
found exposure "$(systemd-analyze security --no-pager crateferry@crates.service | sed -n 's/.*exposure level[^0-9]*\([0-9.]*\) .*/\1/p')"
pid=$(main_pid)
found capabilities "$(sed -n 's/^CapEff:\s*0*\([0-9a-f]\)/\1/p' /proc/"$pid"/status), no new privileges $(sed -n 's/^NoNewPrivs:\s*//p' /proc/"$pid"/status)"
found read-only "$(nsenter -t "$pid" -m sh -c 'for d in /etc /usr /srv; do touch $d/x 2> /dev/null && echo $d is writable; done; echo none writable')"

# killed, it is started anew
[ "$pid" -gt 1 ] && kill -9 "$pid"
until_ok sh -c "pid=\$(systemctl show --property=MainPID --value crateferry@crates); [ \$pid != 0 ] && [ \$pid != $pid ]"
until_ok answers 8377 healthz
found killed "restarts $(show crateferry@crates NRestarts), $(systemctl is-active crateferry@crates)"

# hung, it is ended by the watchdog and started anew; a minute is long, so it is shortened here
mkdir -p /run/systemd/system/crateferry@crates.service.d
printf '[Service]\nWatchdogSec=15\n' > /run/systemd/system/crateferry@crates.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart crateferry@crates
until_ok answers 8377 healthz
sleep 20
found watched "restarts $(show crateferry@crates NRestarts)"
pid=$(main_pid)
[ "$pid" -gt 1 ] && kill -STOP "$pid"
until_ok sh -c "pid=\$(systemctl show --property=MainPID --value crateferry@crates); [ \$pid != 0 ] && [ \$pid != $pid ]"
until_ok answers 8377 healthz
found hung "restarts $(show crateferry@crates NRestarts), $(journalctl -u crateferry@crates --no-pager | grep -c 'Watchdog timeout')"

# a mirror that bundles fill: from the inbox, and from a stick that is mounted while the daemon runs
far=/var/lib/crateferry/far
as /usr/bin/crateferry init $far --root $root
mkdir -p /var/lib/crateferry/inbox /media/stick
chown crateferry: /var/lib/crateferry/inbox
sed -i 's|^# inbox = .*|inbox = ["/var/lib/crateferry/inbox"]|; s|^# media = .*|media = ["/media/stick"]|; s|^# listen = .*|listen = "127.0.0.1:8378"|; s|^# url = "http://127.*|url = "http://127.0.0.1:8378"|' $far/crateferry.toml
systemctl start crateferry@far
until_ok answers 8378 healthz
mkdir /tmp/out && chown crateferry: /tmp/out
as /usr/bin/crateferry bundle export --to /tmp/out --mirror $mirror
cp -r /tmp/out/* /var/lib/crateferry/inbox/ && chown -R crateferry: /var/lib/crateferry/inbox
until_ok answers 8378 index/fe/rr/ferry-hull
found inbox "$(answers 8378 index/fe/rr/ferry-hull | wc -l)"
echo '{"name":"late-one","vers":"1.0.0","deps":[],"cksum":"'"$(printf late | sha256sum | cut -c1-64)"'","features":{},"yanked":false}' > /tmp/late
mkdir -p /share/plain/index/la/te /share/plain/crates/late-one
cp /tmp/late /share/plain/index/la/te/late-one
printf late > /share/plain/crates/late-one/late-one-1.0.0.crate
/usr/bin/crateferry upstream /srv/repository --from /share/plain
as /usr/bin/crateferry ctl sync-now --mirror $mirror
until_ok answers 8377 index/la/te/late-one
mkdir /tmp/stick && mount -t tmpfs tmpfs /media/stick && chmod 777 /media/stick
as /usr/bin/crateferry bundle export --to /media/stick --mirror $mirror
until_ok answers 8378 index/la/te/late-one
grep stick /proc/"$(show crateferry@far MainPID)"/mountinfo /proc/self/mountinfo
found stick "$(answers 8378 index/la/te/late-one | wc -l)"

# the timer's way, while no daemon has the mirror
began=$(date +%s%N)
systemctl stop crateferry@crates crateferry@far
found stopped "$(systemctl is-failed crateferry@crates), within ten seconds: $([ $(($(date +%s%N) - began)) -lt 10000000000 ] && echo yes)"
systemctl start crateferry-sync@crates.service
found sync "$(show crateferry-sync@crates.service Result)"
systemctl start crateferry-sync@crates.timer
found timer "$(systemctl is-active crateferry-sync@crates.timer)"
as /usr/bin/crateferry verify --mirror $mirror && found verified crates
as /usr/bin/crateferry verify --mirror $far && found verified far
journalctl -u 'crateferry@*' --no-pager > /share/journal
touch /share/done
