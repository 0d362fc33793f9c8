# SPDX-License-Identifier: Apache-2.0
# Real databases on the test bed: one image of the distribution's programs, which goes by the names that docs/databases.md has, and for
# each database how it is started, how numbered records are written into it, and how all of them are read. Sourced after
# lib/faults.bash; needs $root and $work. A record is "NUMBER NUMBER-TIMES-2654435761-MODULO-2^32"; what the database has acknowledged
# is in /dev/shm/acked of the container, outside of all volumes.

postgres_home=/usr/lib/postgresql/15
database_programs() {
    local name
    for name in psql pg_basebackup pg_verifybackup pg_amcheck pg_dump pg_dumpall initdb postgres; do echo "$postgres_home/bin/$name"; done
    find "$postgres_home/lib" -name '*.so' ! -name 'llvmjit*'
    echo /usr/bin/redis-cli /usr/bin/redis-check-rdb /usr/bin/sqlite3 /usr/bin/etcd /usr/bin/etcdctl
    echo /usr/sbin/mariadbd /usr/bin/mariadb /usr/bin/mariadb-backup /usr/bin/mariadb-check /usr/bin/mariadb-install-db \
        /usr/bin/my_print_defaults /usr/bin/resolveip
}

# The programs with their libraries, over the bed's busybox.
database_tree() { # folder
    local files tree=$1 name
    cp -a "$XEBEC_BED/images/busybox" "$tree" && read -r -d '' -a files < <(database_programs)
    read -r -d '' -a libraries < <(ldd "${files[@]}" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\/.*ld-/ {print $1}' | sort -u)
    for name in lib lib64 sbin; do ln -s "usr/$name" "$tree/$name"; done
    mkdir -p "$tree"/usr/{lib,lib64,sbin,share} && cp --parents -L "${files[@]}" "$tree" || return 1
    for name in "${libraries[@]}"; do
        case $name in /usr/*) ;; *) name=/usr$name ;; esac
        mkdir -p "$tree${name%/*}" && cp -L "$name" "$tree$name" || return 1
    done
    cp -r --parents /usr/share/postgresql/15 /usr/share/mysql "$tree" && rm -r "$tree/usr/share/mysql/"*/ 2>/dev/null
    cp -a /usr/share/mysql/english "$tree/usr/share/mysql/"
    ln -s redis-check-rdb "$tree/usr/bin/redis-server"
    for name in "$tree$postgres_home"/bin/*; do ln -s "$postgres_home/bin/${name##*/}" "$tree/usr/bin/"; done
    echo 'db:x:70:70:db:/tmp:/bin/sh' >>"$tree/etc/passwd" && echo 'db:x:70:' >>"$tree/etc/group" && echo 'hosts: files' >"$tree/etc/nsswitch.conf" && mkdir -p "$tree/run/mysqld" && chmod -R go+rX "$tree" && chmod 1777 "$tree/run/mysqld"
}
# On node 1, by the names that the recipes in docs/databases.md have.
database_images() {
    local name
    database_tree "$work/databases" && "$root/tests/cluster/mkimage" docker.io/xebec/databases:1 "$work/databases" "$work/databases.tar" sh &&
        bed node 1 ctr -n k8s.io images import - <"$work/databases.tar" && rm -r "$work"/databases* || return 1
    for name in docker.io/library/{postgres:15,redis:7,mariadb:10.11} example.com/{sqlite:3,etcd-with-a-shell:3}; do
        bed node 1 ctr -n k8s.io images tag --force docker.io/xebec/databases:1 "$name" || return 1
    done
}

# ---- how each is started ----

serve_postgres='[ -e $PGDATA/PG_VERSION ] || initdb -U postgres --no-sync --wal-segsize=1 --locale=C -E UTF8 -A trust
    exec postgres -c unix_socket_directories=/tmp -c listen_addresses= -c shared_buffers=512kB -c max_wal_size=4MB -c checkpoint_timeout=30s -c bgwriter_delay=20ms'
serve_redis_aof='cd /data && exec redis-server --appendonly yes --appendfsync always --save "" --auto-aof-rewrite-min-size 4kb --bind 127.0.0.1'
serve_redis_rdb='cd /data && exec redis-server --save "1 1" --bind 127.0.0.1'
serve_sqlite='while sleep 1000000; do :; done'
serve_etcd='exec etcd --name one --data-dir /data/etcd --logger zap --log-level warn --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster one=http://127.0.0.1:2380'
serve_etcd=${serve_etcd//$'\n'/ }
serve_mariadb='[ -d /var/lib/mysql/mysql ] || mariadb-install-db --datadir=/var/lib/mysql --auth-root-authentication-method=normal >/dev/null
    exec mariadbd --datadir=/var/lib/mysql --skip-networking --innodb-buffer-pool-size=8M --innodb-log-file-size=4M'

ready_postgres='psql -U postgres -c "SELECT 1"' ready_redis='redis-cli PING | grep PONG' ready_sqlite=true
ready_etcd='etcdctl endpoint health' ready_mariadb='mariadb -u root -e "SELECT 1"'

# ---- records ----

# (SQLite's write-ahead log is brought into the database and cut off by somebody else than the writer, also while that one must wait.)

# Numbers for ever, each as a line made by the function `line`, until /dev/shm/stop is there.
numbers='n=0; while [ ! -e /dev/shm/stop ]; do n=$((n + 1)); line $n $((n * 2654435761 % 4294967296)); usleep 25000; done'
write_postgres='psql="psql -qX -v ON_ERROR_STOP=1 -U postgres"; $psql -c "CREATE TABLE log (n int PRIMARY KEY, h bigint); CREATE TABLE last (n int); INSERT INTO last VALUES (0)" || exit
    line() { echo "BEGIN; INSERT INTO log VALUES ($1, $2); UPDATE last SET n = $1; COMMIT;"; echo "\\! echo $1 >>/dev/shm/acked"; }
    { '$numbers'; } | $psql'
write_mariadb='m="mariadb -u root -n"; $m -e "CREATE DATABASE app; CREATE TABLE app.log (n int PRIMARY KEY, h bigint); CREATE TABLE app.last (n int); INSERT INTO app.last VALUES (0)" || exit
    line() { echo "BEGIN; INSERT INTO log VALUES ($1, $2); UPDATE last SET n = $1; COMMIT;"; echo "\\! echo $1 >>/dev/shm/acked"; }
    { '$numbers'; } | $m app'
write_sqlite='q="sqlite3 -bail /data/app.db"; $q "PRAGMA journal_mode = WAL; CREATE TABLE log (n int PRIMARY KEY, h bigint); CREATE TABLE last (n int); INSERT INTO last VALUES (0)" || exit
    line() { echo "BEGIN IMMEDIATE; INSERT INTO log VALUES ($1, $2); UPDATE last SET n = $1; COMMIT;"; echo ".shell echo $1 >>/dev/shm/acked"; }
    while [ ! -e /dev/shm/stop ]; do sleep 0.3; sqlite3 /data/app.db "PRAGMA wal_checkpoint(TRUNCATE)"; done >/dev/null 2>&1 &
    { echo ".timeout 30000"; '$numbers'; } | $q >/dev/null'
write_redis='line() { echo "RPUSH log \"$1 $2\""; }; { '$numbers'; } | redis-cli >/dev/shm/acked'
write_etcd='line() { etcdctl put "log/$(printf %06d $1)" "$1 $2" >/dev/null && echo $1 >>/dev/shm/acked; }; '$numbers

read_postgres='psql -U postgres -XAt -F " " -c "SELECT n, h FROM log ORDER BY n" -c "SELECT 0, n FROM last"'
read_mariadb='mariadb -u root -N app -e "SELECT n, h FROM log ORDER BY n; SELECT 0, n FROM last" | tr "\t" " "'
read_sqlite='sqlite3 -separator " " /data/app.db "SELECT n, h FROM log ORDER BY n; SELECT 0, n FROM last"'
read_redis='redis-cli LRANGE log 0 -1'
read_etcd='etcdctl get log/ --prefix --print-value-only'

# Records 1 to n without a hole, at least as many as had been acknowledged, and the last number, where there is one, fits.
prefix() { # acknowledged; records on standard input
    python3 -c '
import sys
acked, n = int(sys.argv[1]), 0
for line in sys.stdin.read().splitlines():
    number, sum_ = line.split()
    if number == "0":
        assert int(sum_) == n, "the last number is %s, the records end with %d" % (sum_, n)
        continue
    n += 1
    assert int(number) == n, "record %s in place of %d" % (number, n)
    assert int(sum_) == n * 2654435761 % 2**32, line
print(n, "records;", acked, "had been acknowledged when the hold began")
assert acked > 0 and n >= acked' "$1"
}
