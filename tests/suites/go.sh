# Go 1.19: packages of its standard library that lean on the operating system.
LIMIT=400
export WORLD_CAPS=all WORLD_NOFILE=4096
cases() {
    printf '%s\n' os os/exec os/signal os/user syscall io io/fs io/ioutil net net/http net/rpc \
        net/textproto net/mail net/url net/netip time runtime runtime/debug runtime/pprof sync \
        sync/atomic internal/poll log log/syslog path path/filepath archive/tar archive/zip \
        bufio bytes compress/gzip context crypto/rand crypto/tls database/sql embed mime \
        mime/multipart text/template
}
quick_cases() { printf '%s\n' os io/fs sync path/filepath; }
case_command() {
    echo "export PATH=/usr/lib/go-1.19/bin:\$PATH HOME=/root GOFLAGS=-mod=mod GO111MODULE=off GOCACHE=/tmp/gc &&" \
        "cd /usr/share/go-1.19/src/$1 && go test -short -timeout 380s ."
}
case_status() { echo fail; }
