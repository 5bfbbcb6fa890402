#!/bin/sh
# Starts sshd and keeps dockerd running, so that a test can kill either and see it come back.
set -u

install_keys() {
  for entry in root:/root deploy:/home/deploy second:/home/second plain:/home/plain; do
    user=${entry%%:*} home=${entry#*:}
    mkdir -p "$home/.ssh"
    cp /etc/cu-testbed/authorized_keys "$home/.ssh/authorized_keys"
    chmod 700 "$home/.ssh"
    chmod 600 "$home/.ssh/authorized_keys"
    chown -R "$user:$user" "$home/.ssh"
  done
}

# Containers of this host go below its own cgroup: freezing the host then freezes them too.
cgroup_parent() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    own=$(sed -n 's/^0:://p' /proc/self/cgroup)
    # cgroup v2 allows no processes beside children with controllers: move them into a leaf.
    mkdir -p "/sys/fs/cgroup$own/init"
    while read -r pid; do echo "$pid" >"/sys/fs/cgroup$own/init/cgroup.procs"; done <"/sys/fs/cgroup$own/cgroup.procs"
    for controller in $(cat "/sys/fs/cgroup$own/cgroup.controllers"); do
      echo "+$controller" >"/sys/fs/cgroup$own/cgroup.subtree_control"
    done
  else
    own=$(sed -n 's/^[0-9]*:freezer://p' /proc/self/cgroup)
  fi
  echo "$own/containers"
}

mkdir -p /run/sshd /run/lock
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
[ -e /etc/ssh/ssh_host_ecdsa_key ] || ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key
install_keys
parent=$(cgroup_parent 2>/dev/null)

(while :; do /usr/sbin/sshd -D -e >>/var/log/sshd.log 2>&1; sleep 0.2; done) &

while :; do
  # A pid file left by a killed engine may name another process by now.
  rm -f /run/docker.pid
  # shellcheck disable=SC2086 -- options are words without blanks
  dockerd --cgroup-parent "$parent" ${CU_TESTBED_DOCKERD_OPTIONS:-} >>/var/log/dockerd.log 2>&1
  sleep 0.5
done
