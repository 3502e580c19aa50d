#!/usr/bin/env bash
# A real object store for tests: Ceph's radosgw with one monitor and one OSD, on a loopback address of its own.
#
#   ceph.sh FOLDER memstore|bluestore ADDRESS PORT ACCESS_KEY SECRET_KEY
#
# Writes "ready" when it serves. Its input is read for commands: "crash" kills the daemons (kill -9) and writes "crashed"; "start" starts
# them again and writes "ready". When its input ends, with the process that started it, the daemons are killed and the folder is removed.
set -euo pipefail
folder=$1 store=$2 address=$3 port=$4 access=$5 secret=$6
monitor=$((port + 1))
export CEPH_CONF=$folder/ceph.conf CEPH_ARGS=--no-mon-config
pids=()

# The system kills a daemon when this shell ends, however it ends.
daemon() { setpriv --pdeathsig KILL "$@" -c "$CEPH_CONF" -f </dev/null >>"$folder/daemons.log" 2>&1 & pids+=($!); }

crash() {
  if [ ${#pids[@]} -gt 0 ]; then
    kill -9 "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
  pids=()
}

end() {
  crash
  rm -rf "$folder"
}

configure() {
  mkdir -p "$folder/rgw" "$folder/mon" "$folder/osd"
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:$address:$monitor/0]
mon initial members = a
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
public addr = $address
run dir = $folder
admin socket = $folder/\$name.asok
log file = $folder/\$name.log
keyring = $folder/keyring
debug default = 0
debug ms = 0/0
ms max backoff = 0.2
objecter timeout = 0.5
mon client hunt interval = 0.3
mon client hunt interval max multiple = 1
objecter tick interval = 0.3
mon cluster log to stderr = false
mon data = $folder/mon
mon data avail crit = 1
mon data avail warn = 2
mon allow pool size one = true
mon max pg per osd = 2000
paxos propose interval = 0.02
paxos min wait = 0.01
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
[osd]
osd data = $folder/osd
osd objectstore = $store
memstore device bytes = 4G
bluestore block create = true
bluestore block size = 4G
bluestore block path =
osd memory target = 1073741824
osd op num shards = 4
osd class update on start = false
osd class load list = *
osd class default list = *
[client.rgw]
rgw frontends = beast endpoint=$address:$port tcp_nodelay=1
rgw data = $folder/rgw
rgw thread pool size = 64
rgw rados pool pg num min = 4
rgw enable usage log = false
rgw enable ops log = false
rgw bucket default quota max objects = -1
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw gc obj min wait = 5
rgw gc processor period = 5
rgw gc max concurrent io = 64
rgw gc max trim chunk = 256
rgw relaxed s3 bucket names = true
rgw run sync thread = false
CONF
  ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  for name in client.admin client.rgw osd.0; do
    ceph-authtool "$folder/keyring" --gen-key -n $name --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
  done
  monmaptool --create --fsid "$(sed -n 's/^fsid = //p' "$CEPH_CONF")" --addv a "[v2:$address:$monitor]" "$folder/monmap" >/dev/null
  ceph-mon -i a --mkfs --monmap "$folder/monmap" --keyring "$folder/keyring" -c "$CEPH_CONF"
}

# Waits until a port is served, by the daemon that was started last.
served() {
  until (exec 3<>"/dev/tcp/$address/$1") 2>/dev/null; do
    kill -0 "${pids[-1]}" || { tail -n 20 "$folder/daemons.log" >&2; exit 1; }
    sleep 0.02
  done
}

start() {
  daemon ceph-mon -i a
  served "$monitor"
  if [ ! -e "$folder/osd/whoami" ]; then
    id=$(cat /proc/sys/kernel/random/uuid)
    timeout 60 ceph osd new "$id" >/dev/null
    ceph-osd -i 0 --mkfs --osd-uuid "$id" -c "$CEPH_CONF" >>"$folder/daemons.log" 2>&1
  fi
  daemon ceph-osd -i 0
  daemon radosgw -n client.rgw
  if [ ! -e "$folder/user" ]; then
    timeout 60 radosgw-admin -n client.rgw --admin-socket= user create --uid=test --display-name=test --access-key="$access" \
      --secret-key="$secret" --max-buckets=0 >"$folder/user" 2>>"$folder/daemons.log"
  fi
  served "$port"
  echo ready
}

trap end EXIT
configure
start
while read -r line; do
  case $line in
    crash) crash && echo crashed ;;
    start) start ;;
  esac
done
