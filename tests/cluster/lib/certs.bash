# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A certificate authority for one bed, and the kubeconfigs of those who talk to the API server.

openssl_config() {
    cat <<'END'
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
subjectAltName = $ENV::NAMES
END
}

issue() { # file common-name organisation names
    NAMES=${4:-DNS:$1} openssl req -x509 -config "$PKI/openssl.cnf" -extensions leaf -days 30 -nodes \
        -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" \
        -subj "/O=$3/CN=$2" -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>>"$BED/log/openssl.log"
}

kubeconfig() { # file
    cat >"$PKI/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters:
- name: bed
  cluster:
    server: https://$API_ADDRESS:443
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$1.crt")
    client-key-data: $(base64 -w0 "$PKI/$1.key")
contexts:
- name: bed
  context: {cluster: bed, user: $1}
current-context: bed
END
}

make_certificates() {
    local name services="DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    PKI=$BED/pki
    (umask 077 && mkdir "$PKI") && openssl_config >"$PKI/openssl.cnf" || return 1
    openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/service-accounts.key" &&
        NAMES=none openssl req -x509 -config "$PKI/openssl.cnf" -extensions authority -days 30 -nodes \
            -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=test-bed \
            -keyout "$PKI/ca.key" -out "$PKI/ca.crt" 2>>"$BED/log/openssl.log" || return 1
    issue apiserver kube-apiserver bed "$services,IP:127.0.0.1,IP:$API_ADDRESS,IP:$HOST_ADDRESS" &&
        issue to-kubelet kube-apiserver system:masters &&
        issue admin admin system:masters &&
        issue controllers system:kube-controller-manager bed &&
        issue scheduler system:kube-scheduler bed &&
        issue node1 "system:node:$(node_name 1)" system:nodes "DNS:$(node_name 1),IP:$(node_address 1)" &&
        issue node2 "system:node:$(node_name 2)" system:nodes "DNS:$(node_name 2),IP:$(node_address 2)" || return 1
    for name in admin controllers scheduler node1 node2; do kubeconfig "$name" || return 1; done
}
