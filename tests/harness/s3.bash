# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Real S3 servers for a test: versitygw over a folder, and rclone as a second implementation; a certificate authority for them, and
# the proxy that makes faults. To be sourced after cli.bash, or where $root and $work are set and pids=() is killed at the end.
# The servers die with the test, however it dies. Start them in the test's own shell, never within $(...).

s3_access=tests-access s3_secret=tests-secret s3_region=us-east-1
s3_pid='' s3_port=''

# Sets $versitygw and $rclone to the real programs.
need_s3() {
    local one
    for one in versitygw rclone; do
        printf -v "$one" '%s/%s' "$("$root/tests/tools/build" "$one" 2>>"$work/.tools" | tail -n 1)" "$one"
        if [ ! -x "${!one}" ]; then
            tail -n 20 "$work/.tools" >&2
            echo "$one cannot be built" >&2
            return 1
        fi
    done
}

# The credentials of all servers here, as AWS's file: [default], and [wrong], which none takes.
s3_credentials() { # file
    (umask 077 && cat >"$1" <<END
[default]
aws_access_key_id = $s3_access
aws_secret_access_key = $s3_secret

[wrong]
aws_access_key_id = $s3_access
aws_secret_access_key = not-the-secret
END
    )
}

s3_free_port() { # address
    python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.bind((sys.argv[1], 0))
print(s.getsockname()[1])' "$1"
}

# The xattrs of the user are where versitygw keeps what S3 knows of an object.
s3_folder() { # folder
    mkdir -p "$1" && python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.test", b"1"); os.removexattr(sys.argv[1], "user.test")' \
        "$1" 2>/dev/null || { echo "$1: an S3 server's folder needs a file system with user attributes (ext4, xfs): set TMPDIR" >&2; return 1; }
}

# A certificate authority for one test, and a server's certificate by it: FOLDER/{ca,server}.{crt,key}.
s3_authority() { # folder [address, beside the loopback's]
    mkdir -p "$1" && cat >"$1/openssl.cnf" <<END || return 1
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1${2:+, IP:$2}
END
    openssl req -x509 -config "$1/openssl.cnf" -extensions authority -days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
        -subj "/CN=an authority of the tests" -keyout "$1/ca.key" -out "$1/ca.crt" 2>>"$1/openssl.log" &&
        openssl req -x509 -config "$1/openssl.cnf" -extensions leaf -days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
            -CA "$1/ca.crt" -CAkey "$1/ca.key" -subj /CN=localhost -keyout "$1/server.key" -out "$1/server.crt" 2>>"$1/openssl.log"
}

s3_answers() { # address port scheme: any answer, "denied" too
    local host=$1
    case $host in *:*) host="[$host]" ;; esac
    curl --silent --insecure --noproxy '*' --output /dev/null --max-time 5 "$3://$host:$2/"
}

# Starts a server and waits until it answers. Sets s3_pid and s3_port. A port that somebody else was faster to take is no
# failure: the next one is tried. PORT and ADDRESS in the command are replaced.
s3_start() { # log scheme address command...
    local log=$1 scheme=$2 address=$3 host=$3 try end
    shift 3
    case $host in *:*) host="[$host]" ;; esac
    for try in 1 2 3; do
        s3_port=$(s3_free_port "$address") || return 1
        env ROOT_ACCESS_KEY_ID="$s3_access" ROOT_SECRET_ACCESS_KEY="$s3_secret" setpriv --pdeathsig KILL -- \
            "${@/#ADDRESS:PORT/$host:$s3_port}" >>"$log" 2>&1 </dev/null &
        s3_pid=$!
        end=$((SECONDS + 20))
        while kill -0 "$s3_pid" 2>/dev/null && [ $SECONDS -lt $end ]; do
            if s3_answers "$address" "$s3_port" "$scheme"; then
                pids+=("$s3_pid")
                return 0
            fi
            sleep 0.05
        done
        s3_stop "$s3_pid"
    done
    echo "the S3 server does not start (try $try)" >&2
    tail -n 20 "$log" >&2
    return 1
}

# versitygw over FOLDER, where every folder is a bucket. With a second argument, the folder of an authority, over TLS.
s3_versity() { # folder [authority] [address]
    local tls=()
    [ -z "${2:-}" ] || tls=(--cert "$2/server.crt" --key "$2/server.key")
    s3_folder "$1" || return 1
    s3_start "$1.log" "http${2:+s}" "${3:-127.0.0.1}" "$versitygw" --port ADDRESS:PORT --region "$s3_region" --keep-alive --quiet "${tls[@]}" \
        posix "$1"
}

# The same with rclone. It sees only those folders as buckets that were there when it started.
s3_rclone() { # folder [authority] [address]
    local tls=()
    [ -z "${2:-}" ] || tls=(--cert "$2/server.crt" --key "$2/server.key")
    mkdir -p "$1" || return 1
    RCLONE_CONFIG=/dev/null RCLONE_AUTH_KEY="\"$s3_access,$s3_secret\"" s3_start "$1.log" "http${2:+s}" "${3:-127.0.0.1}" \
        "$rclone" serve s3 --addr ADDRESS:PORT --vfs-cache-mode off "${tls[@]}" "$1"
}

# Ends a process that was started here, and waits for its end.
s3_stop() { # pid
    { kill "$1" && wait "$1"; } 2>/dev/null
    return 0
}

# The proxy that makes faults, in front of the server at PORT. Sets proxy_port.
s3_proxy() { # port
    local file=$work/.proxy-$1
    rm -f "$file"
    setpriv --pdeathsig KILL -- python3 "$root/tests/harness/fault_proxy.py" --server "http://127.0.0.1:$1" --port-file "$file" \
        >"$file.log" 2>&1 </dev/null &
    pids+=($!)
    local end=$((SECONDS + 10))
    until [ -s "$file" ]; do
        [ $SECONDS -lt $end ] || { cat "$file.log" >&2; return 1; }
        sleep 0.02
    done
    proxy_port=$(cat "$file")
}

# Sets the proxy's rules (a JSON array; fault_proxy.py says which), all counts at zero.
faults() { curl --silent --show-error --fail --noproxy '*' --output /dev/null --upload-file - "http://127.0.0.1:$proxy_port/.faults" <<<"$1"; }

# What a Python expression makes of the proxy's counts, `d`.
faults_done() {
    curl --silent --show-error --fail --noproxy '*' "http://127.0.0.1:$proxy_port/.faults" |
        python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "${1:-d[\"done\"]}"
}
