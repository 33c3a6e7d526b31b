#!/usr/bin/env bash
# Makes the database at the first start, then becomes the server.
set -euo pipefail

user=${POSTGRES_USER:-postgres}
if [[ ! -s $PGDATA/PG_VERSION ]]; then
    : "${POSTGRES_PASSWORD:?set it to the password of $user}"
    # An interrupted first start must not leave an incomplete folder.
    find "$PGDATA" -mindepth 1 -delete
    initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-host=scram-sha-256 --auth-local=trust \
        --encoding=UTF8 > /dev/null
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    if [[ ${POSTGRES_DB:-$user} != postgres ]]; then
        echo "CREATE DATABASE \"${POSTGRES_DB:-$user}\"" | postgres --single -j postgres > /dev/null
    fi
fi
exec postgres -c listen_addresses='*'
