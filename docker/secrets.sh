#!/bin/sh
# Makes a random password for whatever of docker/compose.yaml needs one and has none yet. What is there stays.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets/pos

for name in warehouse grafana mysql_root pos/s001 pos/s002 pos/s003; do
  [ -e "secrets/$name" ] && continue
  # No newline at its end: Kafka Connect would take it for a part of the password.
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  printf %s "$password" > "secrets/$name.new"
  # Each container reads it as a user of its own; on this machine the directory keeps everybody else out.
  chmod 444 "secrets/$name.new"
  mv "secrets/$name.new" "secrets/$name"
  echo "made docker/secrets/$name"
done
chmod 700 secrets
chmod 755 secrets/pos
