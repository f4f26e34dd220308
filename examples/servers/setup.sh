#!/usr/bin/env bash
# Prepares the data folders of this example and prints the variables that eud.toml wants:
#
#   eval "$(./setup.sh)"
#
# Safe to run again: what exists is kept.
set -euo pipefail
cd "$(dirname "$0")"

data=${SERVERS_DATA:-$PWD/data}
redis_port=${SERVERS_REDIS_PORT:-47620}
postgres_port=${SERVERS_POSTGRES_PORT:-47621}
nginx_port=${SERVERS_NGINX_PORT:-47622}

say() { echo "setup: $*" >&2; }

# Debian keeps PostgreSQL's programs out of PATH.
find_program() {
    local found
    found=$(command -v "$1" ||
        ls /usr/lib/postgresql/*/bin/"$1" /usr/sbin/"$1" 2>/dev/null | sort -V | tail -1)
    if [ -z "$found" ]; then
        say "$1 is not installed; on Debian: apt-get install redis-server postgresql nginx"
        exit 1
    fi
    echo "$found"
}
redis=$(find_program redis-server)
nginx=$(find_program nginx)
# initdb lies beside it, behind the link that may be in PATH.
postgres=$(readlink -f "$(find_program postgres)")

mkdir -p "$data/redis" "$data/nginx/tmp"

# PostgreSQL refuses to run as root.
user=$(id -un)
as=()
if [ "$(id -u)" = 0 ]; then
    user=postgres
    as=(setpriv "--reuid=$user" "--regid=$user" --init-groups)
    mkdir -p "$data/postgres"
    chown "$user:" "$data/postgres"
    if ! "${as[@]}" test -w "$data/postgres"; then
        say "user $user cannot reach $data/postgres"
        say "set SERVERS_DATA to a folder that everybody may enter"
        exit 1
    fi
fi
if [ ! -e "$data/postgres/PG_VERSION" ]; then
    say "creating the database cluster"
    (cd / && "${as[@]}" "$(dirname "$postgres")/initdb" -D "$data/postgres" \
        --auth=trust --username=postgres --encoding=UTF8 --no-locale >&2)
fi

sed -e "s|@PORT@|$nginx_port|" nginx.conf.in > "$data/nginx/nginx.conf"

cat <<EOF
export SERVERS_DATA='$data'
export SERVERS_REDIS='$redis' SERVERS_REDIS_PORT=$redis_port
export SERVERS_POSTGRES='$postgres' SERVERS_POSTGRES_PORT=$postgres_port SERVERS_POSTGRES_USER=$user
export SERVERS_NGINX='$nginx' SERVERS_NGINX_PORT=$nginx_port
EOF
