#!/bin/sh
# Makes the secrets that `docker compose --profile scale` reads, in ./secrets or the folder given. What is there already stays.
# Run as root: each file belongs to the user that reads it inside its container, mode 0400.
set -eu
folder=${1:-secrets}
[ "$(id -u)" -eq 0 ] || { echo "error: run as root (sudo $0 $folder): the files must belong to the containers' users" >&2; exit 1; }
suite=1654 database=999 # the users of the suite's image, and of those of PostgreSQL and Redis
umask 077
mkdir -p "$folder"
chmod 711 "$folder"

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # NAME OWNER CONTENT
  [ -e "$folder/$1" ] && return
  printf '%s\n' "$3" > "$folder/$1.new"
  chown "$2:$2" "$folder/$1.new"
  chmod 400 "$folder/$1.new"
  mv "$folder/$1.new" "$folder/$1"
  echo "made $folder/$1"
}

# One password, once for the server and once in the form its clients read.
if [ ! -e "$folder/postgres_password" ] || [ ! -e "$folder/pgpass" ]; then
  rm -f "$folder/postgres_password" "$folder/pgpass"
  password=$(random 24)
  keep postgres_password $database "$password"
  keep pgpass $suite "*:*:*:marmot:$password"
fi
if [ ! -e "$folder/redis.conf" ] || [ ! -e "$folder/redis_password" ]; then
  rm -f "$folder/redis.conf" "$folder/redis_password"
  password=$(random 24)
  # Nothing in it must outlive it: live events and claims of minutes. Never written to disk.
  keep redis.conf $database "requirepass $password
save \"\"
appendonly no
maxmemory 256mb
maxmemory-policy noeviction"
  keep redis_password $suite "$password"
fi
if [ ! -e "$folder/s3_access_key" ] || [ ! -e "$folder/s3_secret_key" ] || [ ! -e "$folder/s3.env" ]; then
  rm -f "$folder/s3_access_key" "$folder/s3_secret_key" "$folder/s3.env"
  user=marmot$(random 4)
  password=$(random 24)
  keep s3_access_key $suite "$user"
  keep s3_secret_key $suite "$password"
  # docker compose reads this one itself, for the S3 server and for the program that makes the bucket.
  keep s3.env "${SUDO_UID:-0}" "MINIO_ROOT_USER=$user
MINIO_ROOT_PASSWORD=$password
MC_HOST_s3=http://$user:$password@s3:9000"
fi
# What Blossom's replicas make owners' tags with: 32 bytes as they come.
if [ ! -e "$folder/owner.secret" ]; then
  head -c 32 /dev/urandom > "$folder/owner.secret.new"
  chown "$suite:$suite" "$folder/owner.secret.new"
  chmod 400 "$folder/owner.secret.new"
  mv "$folder/owner.secret.new" "$folder/owner.secret"
  echo "made $folder/owner.secret"
fi
# The Nostr key that clients encrypt push tokens to. Back it up: it cannot be made again.
keep notify.key $suite "$(random 32)"
